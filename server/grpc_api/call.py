"""One gRPC call on its way through the pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from rbac.formulas import ALWAYS, Formula
from rbac.identities import Identity
from rbac.permissions import Alternative
from server.audit_log.access import Access
from server.errors import AuditStoreError, InvalidRequest, ResourceExhausted, Violation
from server.observability.call_metrics import Traffic

HEADERS_SECONDS = 1.0
"""How long a call that is cut waits for its headers to have been sent."""
PATIENCE_RETRY_SECONDS = 5.0
"""Longer than those wait who found no room: they come first."""
Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]


class Call:
    """What the steps learn about a call, and what handlers may do with it. Servicers get it as their context."""

    __slots__ = (
        "_access", "_at_end", "_metadata", "_responds", "certificate", "checks", "code", "condition", "context",
        "decode", "end_well", "granted", "hidden", "identity", "method", "patience_seconds", "peer", "reason",
        "received_bytes", "request", "request_id", "spend_events", "token", "traffic",
    )  # fmt: skip

    def __init__(self, method: str, request: Any, context: Any, traffic: Traffic | None = None) -> None:
        self.traffic = traffic or Traffic()
        """Where messages of the method's calls are counted."""
        self.method = method
        """Full name as in the table of permissions; `unknown` for all methods that don't exist."""
        self.request = request
        """The request's bytes; not set for calls that stream requests."""
        self.context: grpc.aio.ServicerContext[Any, Any] = context
        self.received_bytes = 0
        """Size of the message that `requests` gave last, as it came in."""
        self.decode: Callable[[bytes], Any] = bytes
        self.peer: str = context.peer()
        self.request_id = ""
        self.certificate = b""
        self.token = ""
        """The bearer token, on the listener for tokens; a secret."""
        self.identity: Identity | None = None
        self.granted: tuple[Alternative, ...] = ()
        self.condition: Formula = ALWAYS
        """What objects must be like for the caller to see or touch them."""
        self.checks: Sequence[Check] = ()
        self.code = "CANCELLED"
        """Name of the final status; what it is until then is right for a call that is cut off."""
        self.reason = ""
        self.hidden = ""
        """Why it was refused, where the caller isn't told."""
        self.spend_events: Callable[[int], None] = _spend_nothing
        """Counts events against the caller's limits; raises ResourceExhausted when they are too many."""
        self.end_well: Callable[[AuditStoreError], None] | None = None
        """How to end a stream that has something to finish first; set by its handler. Else it is cut."""
        self.patience_seconds: float | None = None
        """How long a client may take for one message of a stream; None for ever. Set where a stream holds what others
        wait for."""
        self._access: Access | None = None
        self._at_end: list[Callable[[], None]] = []
        self._metadata: Metadata | None = None
        self._responds = False

    @property
    def access(self) -> Access:
        """The caller, as use cases are given it."""
        access = self._access
        if access is None or access.identity is not self.identity or access.condition is not self.condition:
            if self.identity is None:
                raise RuntimeError(f"{self.method} has no authenticated caller")
            access = self._access = Access(self.identity, self.peer, self.request_id, self.condition)
        return access

    @property
    def metadata(self) -> Metadata:
        """What the client sent beside the request. Asked for once a call, as grpc builds it anew each time."""
        found = self._metadata
        if found is None:
            given: Any = self.context.invocation_metadata()
            found = self._metadata = given or ()
        return found

    def recheck(self) -> None:
        """Authenticate and authorise again, as of now: streams do it for every message.

        Raises:
            Unauthenticated, PermissionDenied: the right is lost.
        """
        for check in self.checks:
            check(self)

    def access_now(self) -> Access:
        """The caller, with its rights as of now.

        Raises:
            Unauthenticated, PermissionDenied: as `recheck`.
        """
        self.recheck()
        return self.access

    def ask_to_end(self, failure: AuditStoreError) -> bool:
        """Have the stream end with this failure once it has finished what it must; False where it has no such thing."""
        if self.end_well is None:
            return False
        self.end_well(failure)
        return True

    def at_end(self, undo: Callable[[], None]) -> None:
        """Have `undo` called, once, when the call is over, however it ends: what a check began ends with the call."""
        self._at_end.append(undo)

    def over(self) -> None:
        """Undo what the checks began, the last first."""
        undos, self._at_end = self._at_end, []
        for undo in reversed(undos):
            undo()

    def cut_off(self) -> None:
        """Note that the call has been cancelled: by the client, by its deadline or with its connection."""
        self.code = "DEADLINE_EXCEEDED" if self.time_remaining() == 0 else "CANCELLED"

    def time_remaining(self) -> float | None:
        """Seconds to the client's deadline; None without one."""
        return self.context.time_remaining()

    def decoded(self, data: bytes) -> Any:
        """The request message in these bytes.

        Raises:
            InvalidRequest: they are no such message.
        """
        try:
            return self.decode(data)
        except DecodeError:
            violation = Violation(
                "request", "must be an encoded message of the method's request type, nested at most 100 deep"
            )
            raise InvalidRequest([violation]) from None

    async def requests(self) -> AsyncIterator[Any]:
        """The messages of a call that streams requests, up to the client's half-close or cancellation."""
        while (data := await self.context.read()) is not grpc.aio.EOF:
            size = self.received_bytes = len(data)
            self.traffic.received_messages += 1
            self.traffic.received_bytes += size
            self.recheck()  # rights may end while a stream lasts
            yield self.decoded(data)
        # A cancelled call also reads as ended, just before its handler is cancelled, and would pass for one that ended
        # well. grpc answers one thing after the other, so what is asked now is answered after the cancellation.
        await self.context.read()

    async def respond(self, message: Any) -> None:
        """Send one message of a call that streams responses; waits while the client doesn't read.

        Raises:
            ResourceExhausted: it took nothing for `patience_seconds`.
        """
        try:
            if self.patience_seconds is None:
                await self._send(message)
            else:
                await asyncio.wait_for(self._send(message), self.patience_seconds)
        except TimeoutError:
            text = "nothing was taken for so long that others get their turn; ask again for what follows"
            raise ResourceExhausted(text, reason="OVERLOADED", retry_after=PATIENCE_RETRY_SECONDS) from None
        except grpc.aio.InternalError:
            # The connection is gone. To the handler that is the same as a cancelled call.
            raise asyncio.CancelledError from None

    async def _send(self, message: Any) -> None:
        if not self._responds:
            self._responds = True
            await self._send_headers()
        await self.context.write(message)

    async def _send_headers(self) -> None:
        """Before the first message and not with it: grpc would count them as not sent until the client has taken that
        message, and a call that was cut meanwhile could be given no status. Its client would wait for ever.

        A connection that takes nothing at all takes no headers either, nor a status, and isn't waited for.
        """
        sending = asyncio.ensure_future(self.context.send_initial_metadata(()))
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            await asyncio.wait({sending}, timeout=HEADERS_SECONDS)
            raise

    async def abort(self, code: grpc.StatusCode, message: str, details: bytes) -> NoReturn:
        """End the call with this status; `details` is an encoded google.rpc.Status."""
        self.code = code.name
        try:
            await self.context.abort(code, message, (("grpc-status-details-bin", details),))
        except grpc.aio.AbortError:
            raise
        except grpc.aio.BaseError:
            raise asyncio.CancelledError from None


def _spend_nothing(_count: int) -> None:
    """For calls that have no limits."""


Check = Callable[[Call], None]
"""Looks at a call, and raises when it may not go on."""
Handler = Callable[[Call], Awaitable[Any]]
"""Serves a call; gives the response of a call that doesn't stream responses, else None."""
