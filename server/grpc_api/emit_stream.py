"""One EmitEvents stream: messages are handed on as they come, and acknowledged in order once they are durable."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

from extaudit.v1 import audit_log_service_pb2 as pb

from server.audit_log.access import Access
from server.audit_log.denials import Refusal
from server.audit_log.receipts import BatchAcknowledgement
from server.errors import AuditStoreError, InvalidRequest, PermissionDenied, Unavailable, Violation
from server.grpc_api.acknowledgements import emits_response
from server.grpc_api.call import Call
from server.grpc_api.draining import Drain, stopping
from server.grpc_api.emit_batches import MAX_EVENTS, EmitBatch
from server.grpc_api.use_cases import Denials, Intake


@dataclass(frozen=True, slots=True)
class Window:
    """What of one stream may be on its way to durability; when it is full, the stream isn't read."""

    messages: int = 32
    bytes: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Pending:
    number: int
    size: int
    outcome: asyncio.Future[BatchAcknowledgement]


class EmitStream:
    """Serves one stream. A task reads and submits; `responses` waits for the oldest message and answers.

    Whatever ends the stream, first all that was submitted before is acknowledged.
    """

    def __init__(
        self,
        call: Call,
        requests: AsyncIterator[EmitBatch],
        intake: Intake,
        denials: Denials,
        drain: Drain,
        window: Window,
    ) -> None:
        self._call = call
        self._requests = requests
        self._intake = intake
        self._denials = denials
        self._drain = drain
        self._window = window
        self._pending: deque[_Pending] = deque()
        self._pending_bytes = 0
        self._last_number = -1
        self._failure: BaseException | None = None
        self._ended = False
        self._changed = asyncio.Event()
        self._freed = asyncio.Event()

    async def responses(self) -> AsyncIterator[pb.EmitEventsResponse]:
        """The answers, each for all messages that have become durable since the last one.

        Raises:
            AuditStoreError: why the stream ended, unless the client ended it.
        """
        self._reader = asyncio.create_task(self._read())
        self._drain.subscribe(self._stop)
        self._call.end_well = self._end
        try:
            while durable := await self._next_durable():
                yield emits_response(durable)
            if self._failure:
                raise self._failure
        finally:
            self._drain.unsubscribe(self._stop)
            self._reader.cancel()
            for pending in self._pending:
                pending.outcome.add_done_callback(_look_at)

    async def _read(self) -> None:
        try:
            async for message in self._requests:
                await self._intake.until_room()
                self._submit(message)
                await self._until_room()
        except Exception as failure:
            self._failure = failure
        finally:
            self._ended = True
            self._changed.set()

    def _submit(self, message: EmitBatch) -> None:
        self._check(message)
        self._call.spend_events(len(message.payloads))
        access = self._call.access
        outcome = asyncio.ensure_future(self._intake.submit(access, message.payloads))
        size = self._call.received_bytes
        self._pending.append(_Pending(message.number, size, outcome))
        self._pending_bytes += size
        outcome.add_done_callback(partial(self._settled, access))

    def _check(self, message: EmitBatch) -> None:
        violations = []
        if message.number <= self._last_number:
            violations.append(Violation("message_number", "must be higher than that of the message before"))
        if not 1 <= len(message.payloads) <= MAX_EVENTS:
            violations.append(Violation("events", f"must be 1 to {MAX_EVENTS}"))
        if violations:
            raise InvalidRequest(violations)
        self._last_number = message.number

    async def _until_room(self) -> None:
        while len(self._pending) >= self._window.messages or self._pending_bytes >= self._window.bytes:
            self._freed.clear()
            await self._freed.wait()

    async def _next_durable(self) -> list[tuple[int, BatchAcknowledgement]]:
        """The messages that have become durable, at least one; none at the end of the stream."""
        while True:
            if durable := self._take_durable():
                return durable
            if self._pending and self._pending[0].outcome.done():
                self._failure = _failure_of(self._pending[0].outcome)
                return []
            if self._ended and not self._pending:
                return []
            self._changed.clear()
            await self._changed.wait()

    def _take_durable(self) -> list[tuple[int, BatchAcknowledgement]]:
        durable = []
        while self._pending and _is_durable(self._pending[0].outcome):
            pending = self._pending.popleft()
            self._pending_bytes -= pending.size
            durable.append((pending.number, pending.outcome.result()))
        if durable:
            self._freed.set()
        return durable

    def _settled(self, access: Access, outcome: asyncio.Future[BatchAcknowledgement]) -> None:
        # Also when the stream is over: who hangs up at once must not get away without a trace.
        if _is_durable(outcome) and (denied := outcome.result().denied):
            refusal = Refusal(self._call.method, "PERMISSION_DENIED", PermissionDenied.reason, "")
            self._denials.refused(access, refusal, denied)
        self._changed.set()

    def _stop(self) -> None:
        self._end(stopping())

    def _end(self, failure: AuditStoreError) -> None:
        if not self._ended:
            self._failure = failure
            self._ended = True
            self._reader.cancel()
            self._changed.set()


def _is_durable(outcome: asyncio.Future[BatchAcknowledgement]) -> bool:
    return outcome.done() and not outcome.cancelled() and outcome.exception() is None


def _failure_of(outcome: asyncio.Future[BatchAcknowledgement]) -> BaseException | None:
    if outcome.cancelled():
        return Unavailable("the events are not known to be stored; send them again")
    return outcome.exception()


def _look_at(outcome: asyncio.Future[BatchAcknowledgement]) -> None:
    # No one waits for it any more; a failure that no one looks at would be logged as a fault.
    if not outcome.cancelled():
        outcome.exception()
