"""One EmitEvents stream: messages are handed on as they come, and acknowledged in order once they are durable."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from extaudit.v1 import audit_log_service_pb2 as pb

from server.audit_log.access import Access
from server.audit_log.denials import Refusal
from server.audit_log.receipts import BatchAcknowledgement
from server.errors import AuditStoreError, InvalidRequest, PermissionDenied, Violation
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


class _Pending:
    """A message that was submitted, and what became of it."""

    __slots__ = ("_settled", "access", "number", "outcome", "size")

    def __init__(self, number: int, size: int, access: Access, settled: Callable[[_Pending], None]) -> None:
        self.number = number
        self.size = size
        self.access = access
        self.outcome: BatchAcknowledgement | Exception | None = None
        """None until it is known."""
        self._settled = settled

    def tell(self, outcome: BatchAcknowledgement | Exception) -> None:
        """Take in what became of it."""
        self.outcome = outcome
        self._settled(self)


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

    async def _read(self) -> None:
        try:
            async for message in self._requests:
                if not self._intake.has_room:
                    await self._intake.until_room()
                self._submit(message)
                while self._is_full():
                    self._freed.clear()
                    await self._freed.wait()
        except Exception as failure:
            self._failure = failure
        finally:
            self._ended = True
            self._changed.set()

    def _submit(self, message: EmitBatch) -> None:
        self._check(message)
        self._call.spend_events(len(message.payloads))
        pending = _Pending(message.number, self._call.received_bytes, self._call.access, self._settled)
        self._intake.submit(pending.access, message.payloads, pending.tell)
        self._pending.append(pending)
        self._pending_bytes += pending.size

    def _check(self, message: EmitBatch) -> None:
        violations = []
        if message.number <= self._last_number:
            violations.append(Violation("message_number", "must be higher than that of the message before"))
        if not 1 <= len(message.payloads) <= MAX_EVENTS:
            violations.append(Violation("events", f"must be 1 to {MAX_EVENTS}"))
        if violations:
            raise InvalidRequest(violations)
        self._last_number = message.number

    def _is_full(self) -> bool:
        return len(self._pending) >= self._window.messages or self._pending_bytes >= self._window.bytes

    async def _next_durable(self) -> list[tuple[int, BatchAcknowledgement]]:
        """The messages that have become durable, at least one; none at the end of the stream."""
        while True:
            if durable := self._take_durable():
                return durable
            if self._pending and isinstance(failure := self._pending[0].outcome, Exception):
                self._failure = failure
                return []
            if self._ended and not self._pending:
                return []
            self._changed.clear()
            await self._changed.wait()

    def _take_durable(self) -> list[tuple[int, BatchAcknowledgement]]:
        durable = []
        while self._pending and isinstance(outcome := self._pending[0].outcome, BatchAcknowledgement):
            pending = self._pending.popleft()
            self._pending_bytes -= pending.size
            durable.append((pending.number, outcome))
        if durable:
            self._freed.set()
        return durable

    def _settled(self, pending: _Pending) -> None:
        # Also when the stream is over: who hangs up at once must not get away without a trace.
        outcome = pending.outcome
        if isinstance(outcome, BatchAcknowledgement) and outcome.denied:
            refusal = Refusal(self._call.method, "PERMISSION_DENIED", PermissionDenied.reason, "")
            self._denials.refused(pending.access, refusal, outcome.denied)
        self._changed.set()

    def _stop(self) -> None:
        self._end(stopping())

    def _end(self, failure: AuditStoreError) -> None:
        if not self._ended:
            self._failure = failure
            self._ended = True
            self._reader.cancel()
            self._changed.set()
