"""The intake: validates events on the loop and brings them to the journal's thread, many calls to one commit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

from server.audit_log.access import Access
from server.audit_log.event import Event, parse_event
from server.audit_log.gate import IntakeGate
from server.audit_log.journal.journal import JournalClosed
from server.audit_log.log_writer import LogWriter, Submission
from server.audit_log.receipts import Acknowledgement, BatchAcknowledgement, encode_emitter
from server.errors import AuditStoreError, InvalidRequest, PermissionDenied, ResourceExhausted, Unavailable, Violation
from server.observability.metrics import JournalMetrics

_GROUP_BYTES = 8 * 1024 * 1024
LARGE_BYTES = 64 * 1024
"""Events above this size are validated off the loop."""

Answer = TypeVar("Answer")


class Intake:
    """Takes events. Lives on the event loop; only commits run elsewhere, one at a time."""

    def __init__(
        self,
        writer: LogWriter,
        thread: Executor,
        validation: Executor,
        gate: IntakeGate,
        metrics: JournalMetrics,
        *,
        max_event_bytes: int,
        max_pending_bytes: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._writer = writer
        self._thread = thread
        self._validation = validation
        self._gate = gate
        self._metrics = metrics
        self._max_event_bytes = max_event_bytes
        self._max_pending_bytes = max_pending_bytes
        self._now_ms = now_ms
        self._pending: list[tuple[Submission, asyncio.Future[BatchAcknowledgement]]] = []
        self._pending_bytes = 0
        self._wake = asyncio.Event()
        self._stopping = False

    async def emit(self, access: Access, payload: bytes) -> Acknowledgement:
        """Store one event; durable when it returns.

        Raises:
            InvalidRequest: the event is wrong.
            PermissionDenied: it speaks for another component.
            ResourceExhausted, Unavailable: it isn't stored, or not known to be.
        """
        now_ms = self._now_ms()
        if len(payload) > LARGE_BYTES:
            event = await self._on_thread(lambda: self._parse(access, payload, now_ms))
        else:
            event = self._parse(access, payload, now_ms)
        return _acknowledgement(event, await self._take(_submission(access, [(0, event)], now_ms)))

    def submit(
        self, access: Access, payloads: Sequence[bytes | InvalidRequest]
    ) -> asyncio.Future[BatchAcknowledgement]:
        """Validate and take a message's events at once; what is returned resolves when they are durable.

        Raises:
            ResourceExhausted, Unavailable: nothing of the message is taken. The awaitable may raise them as well.
        """
        if any(isinstance(payload, bytes) and len(payload) > LARGE_BYTES for payload in payloads):
            return asyncio.ensure_future(self._submit_large(access, payloads))
        return self._take(self._validate(access, payloads))

    async def _submit_large(self, access: Access, payloads: Sequence[bytes | InvalidRequest]) -> BatchAcknowledgement:
        return await self._take(await self._on_thread(lambda: self._validate(access, payloads)))

    async def _on_thread(self, work: Callable[[], Answer]) -> Answer:
        """Megabytes of JSON can be made to take a second to validate, which must hold up their sender alone."""
        return await asyncio.get_running_loop().run_in_executor(self._validation, work)

    def _validate(self, access: Access, payloads: Sequence[bytes | InvalidRequest]) -> Submission:
        now_ms = self._now_ms()
        events: list[tuple[int, Event]] = []
        refused: list[tuple[int, list[Violation]]] = []
        identity, key, most = access.identity, _emitter_key(access), self._max_event_bytes
        for index, payload in enumerate(payloads):
            try:
                if isinstance(payload, InvalidRequest):
                    raise payload
                events.append((index, parse_event(payload, identity, key, now_ms=now_ms, max_bytes=most)))
            except InvalidRequest as error:
                refused.append((index, error.violations))
            except PermissionDenied as error:
                refused.append((index, [Violation("server_id", error.message)]))
        return _submission(access, events, now_ms, refused)

    def _parse(self, access: Access, payload: bytes, now_ms: int) -> Event:
        key, most = _emitter_key(access), self._max_event_bytes
        return parse_event(payload, access.identity, key, now_ms=now_ms, max_bytes=most)

    def submit_own(self, access: Access, payload: bytes) -> asyncio.Future[BatchAcknowledgement]:
        """Take an event of the service itself, which has a reserve beyond quota and floor."""
        now_ms = self._now_ms()
        event = parse_event(payload, access.identity, b"", now_ms=now_ms, max_bytes=2 * self._max_event_bytes)
        return self._take(_submission(access, [(0, event)], now_ms), own=True)

    async def run(self) -> None:
        """Commit what is pending, group after group, until `stop`."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                await self._commit(self._next_group())
            if self._stopping:
                return

    def stop(self) -> None:
        """Refuse what comes from now on; `run` returns once what is pending is committed."""
        self._stopping = True
        self._wake.set()

    def pending_bytes(self) -> int:
        """Bytes that wait for a commit."""
        return self._pending_bytes

    def _take(self, submission: Submission, *, own: bool = False) -> asyncio.Future[BatchAcknowledgement]:
        if self._stopping:
            raise Unavailable("the service is stopping; call another or try again later", reason="STOPPING")
        if self._writer.journal.closed:
            raise JournalClosed
        size = submission.bytes
        if self._pending_bytes and self._pending_bytes + size > self._max_pending_bytes:
            raise ResourceExhausted("too much is waiting for the disk", reason="OVERLOADED", retry_after=1.0)
        self._gate.admit(size, own=own)
        future: asyncio.Future[BatchAcknowledgement] = asyncio.get_running_loop().create_future()
        self._pending.append((submission, future))
        self._pending_bytes += size
        self._wake.set()
        return future

    def _next_group(self) -> list[tuple[Submission, asyncio.Future[BatchAcknowledgement]]]:
        size = count = 0
        for submission, _ in self._pending:
            size += submission.bytes
            if count and size > _GROUP_BYTES:
                break
            count += 1
        group, self._pending = self._pending[:count], self._pending[count:]
        return group

    async def _commit(self, group: list[tuple[Submission, asyncio.Future[BatchAcknowledgement]]]) -> None:
        started = time.perf_counter()
        submissions = [submission for submission, _ in group]
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self._thread, self._writer.commit, submissions)
        except Exception as error:
            # A fault of ours: nobody is told that it went well, and whoever reads the log learns of it.
            for _, future in group:
                _fail(future, error)
            return
        finally:
            self._pending_bytes -= sum(submission.bytes for submission in submissions)
        for (_, future), answer in zip(group, answers, strict=True):
            if isinstance(answer, AuditStoreError):
                _fail(future, answer)
            elif not future.done():
                future.set_result(answer)
        self._measure(answers, time.perf_counter() - started)

    def _measure(self, answers: Sequence[BatchAcknowledgement | AuditStoreError], seconds: float) -> None:
        done = [answer for answer in answers if isinstance(answer, BatchAcknowledgement)]
        given = sum(last - first + 1 for answer in done for first, last in answer.sequences)
        reused = sum(len(answer.uid_reused) for answer in done)
        self._metrics.committed(given, seconds)
        self._metrics.emitted(
            accepted=given - reused,
            repeated=sum(len(answer.repeated) for answer in done),
            refused=sum(len(answer.refused) for answer in done),
            uid_reused=reused,
        )


def _fail(future: asyncio.Future[BatchAcknowledgement], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _emitter_key(access: Access) -> bytes:
    return "\0".join(access.identity.key).encode()


def _submission(
    access: Access,
    events: list[tuple[int, Event]],
    now_ms: int,
    refused: list[tuple[int, list[Violation]]] | None = None,
) -> Submission:
    receipt = encode_emitter(access.identity, access.peer)
    return Submission(receipt, now_ms, events, refused or [])


def _acknowledgement(event: Event, answer: BatchAcknowledgement) -> Acknowledgement:
    if answer.repeated:
        _, storage, log_id, sequence = answer.repeated[0]
        return Acknowledgement(event.uid, storage, log_id, sequence, repeated=True)
    sequence = answer.sequences[0][0]
    return Acknowledgement(event.uid, answer.storage, answer.log_id, sequence, uid_reused=bool(answer.uid_reused))
