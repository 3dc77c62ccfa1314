"""The intake: validates events, and refuses what can't be taken now; group_commit.py makes the rest durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

from server.audit_log.access import Access
from server.audit_log.emitter_bytes import EmitterTable
from server.audit_log.event import Event, parse_event
from server.audit_log.gate import IntakeGate
from server.audit_log.group_commit import GroupCommit
from server.audit_log.journal.journal import JournalClosed
from server.audit_log.log_writer import LogWriter, Submission
from server.audit_log.receipts import Acknowledgement, BatchAcknowledgement
from server.errors import InvalidRequest, PermissionDenied, ResourceExhausted, Unavailable, Violation
from server.observability.metrics import JournalMetrics

SMALL_BYTES = 4 * 1024
"""Events up to this size that come by themselves are validated with others of their commit, one after the other."""
LARGE_BYTES = 64 * 1024
"""Events above this size are validated off the loop."""

Answer = TypeVar("Answer")


class Intake:
    """Takes events. Lives on the event loop; only large events are validated elsewhere."""

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
        self._commits = GroupCommit(writer, thread, metrics)
        self._validation = validation
        self._gate = gate
        self._max_event_bytes = max_event_bytes
        self._max_pending_bytes = max_pending_bytes
        self._now_ms = now_ms
        self._emitters = EmitterTable()
        self._stopping = False

    async def emit(self, access: Access, payload: bytes) -> Acknowledgement:
        """Store one event; durable when it returns.

        Raises:
            InvalidRequest: the event is wrong.
            PermissionDenied: it speaks for another component.
            ResourceExhausted, Unavailable: it isn't stored, or not known to be.
        """
        now_ms, size = self._now_ms(), len(payload)
        if size <= SMALL_BYTES:
            made: list[Submission] = []

            def make() -> Submission:
                made.append(self._validate_one(access, payload, now_ms))
                self._gate.admit(made[0].bytes)
                return made[0]

            self._check_room(size)
            answer = await self._commits.add_unmade(make, size)
            return _acknowledgement(made[0], answer)
        if size > LARGE_BYTES:
            submission = await self._on_thread(lambda: self._validate_one(access, payload, now_ms))
        else:
            submission = self._validate_one(access, payload, now_ms)
        return _acknowledgement(submission, await self._take(submission))

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
        identity, key, most = access.identity, self._emitters.find(access).key, self._max_event_bytes
        for index, payload in enumerate(payloads):
            try:
                if isinstance(payload, InvalidRequest):
                    raise payload
                events.append((index, parse_event(payload, identity, key, now_ms=now_ms, max_bytes=most)))
            except InvalidRequest as error:
                refused.append((index, error.violations))
            except PermissionDenied as error:
                refused.append((index, [Violation("server_id", error.message)]))
        return self._submission(access, events, now_ms, refused)

    def _validate_one(self, access: Access, payload: bytes, now_ms: int) -> Submission:
        key, most = self._emitters.find(access).key, self._max_event_bytes
        event = parse_event(payload, access.identity, key, now_ms=now_ms, max_bytes=most)
        return self._submission(access, [(0, event)], now_ms)

    def _submission(
        self,
        access: Access,
        events: list[tuple[int, Event]],
        now_ms: int,
        refused: list[tuple[int, list[Violation]]] | None = None,
    ) -> Submission:
        return Submission(self._emitters.find(access).receipt, now_ms, events, refused or [])

    def submit_own(self, access: Access, payload: bytes) -> asyncio.Future[BatchAcknowledgement]:
        """Take an event of the service itself, which has a reserve beyond quota and floor."""
        now_ms = self._now_ms()
        event = parse_event(payload, access.identity, b"", now_ms=now_ms, max_bytes=2 * self._max_event_bytes)
        return self._take(self._submission(access, [(0, event)], now_ms), own=True)

    async def run(self) -> None:
        """Commit what is pending, group after group, until `stop`."""
        await self._commits.run()

    def stop(self) -> None:
        """Refuse what comes from now on; `run` returns once what is pending is committed."""
        self._stopping = True
        self._commits.stop()

    def pending_bytes(self) -> int:
        """Bytes that wait for a commit."""
        return self._commits.pending_bytes

    def _take(self, submission: Submission, *, own: bool = False) -> asyncio.Future[BatchAcknowledgement]:
        self._check_room(submission.bytes)
        self._gate.admit(submission.bytes, own=own)
        return self._commits.add(submission)

    def _check_room(self, size: int) -> None:
        """Raise what a caller is told when nothing more can be taken now."""
        if self._stopping:
            raise Unavailable("the service is stopping; call another or try again later", reason="STOPPING")
        if self._writer.journal.closed:
            raise JournalClosed
        pending = self._commits.pending_bytes
        if pending and pending + size > self._max_pending_bytes:
            raise ResourceExhausted("too much is waiting for the disk", reason="OVERLOADED", retry_after=1.0)


def _acknowledgement(submission: Submission, answer: BatchAcknowledgement) -> Acknowledgement:
    uid = submission.events[0][1].uid
    if answer.repeated:
        _, storage, log_id, sequence = answer.repeated[0]
        return Acknowledgement(uid, storage, log_id, sequence, repeated=True)
    sequence = answer.sequences[0][0]
    return Acknowledgement(uid, answer.storage, answer.log_id, sequence, uid_reused=bool(answer.uid_reused))
