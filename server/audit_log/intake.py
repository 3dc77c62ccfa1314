"""The intake: validates events, and refuses what can't be taken now; group_commit.py makes the rest durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

from server.audit_log.access import Access
from server.audit_log.emitter_bytes import EmitterTable
from server.audit_log.gate import IntakeGate
from server.audit_log.group_commit import Group, GroupCommit, Tell, settle
from server.audit_log.journal.journal import JournalClosed
from server.audit_log.log_writer import LogWriter, Submission
from server.audit_log.receipts import Acknowledgement, BatchAcknowledgement
from server.audit_log.single_event import SingleEvent, shares
from server.audit_log.validation import Payloads, UnreadPayloads, Validated, Validator, joined_payloads, single_payload
from server.errors import ResourceExhausted, Unavailable
from server.observability.journal_metrics import JournalMetrics

SMALL_BYTES = 4 * 1024
"""Events up to this size that come by themselves are validated together with others of their commit."""
_BUSY_BYTES = 256 * 1024
_LOOK_SECONDS = 0.02
LARGE_BYTES = 64 * 1024
"""Events above this size are validated off the loop."""
LARGE_MESSAGE_BYTES = 256 * 1024
"""Messages above this size as well: events just below the size of a large one can take as long together."""

Answer = TypeVar("Answer")


class Intake:
    """Takes events. Lives on the event loop; only large events are validated elsewhere."""

    def __init__(
        self,
        writer: LogWriter,
        validator: Validator,
        thread: Executor,
        validation: Executor,
        gate: IntakeGate,
        metrics: JournalMetrics,
        *,
        max_pending_bytes: int,
        now_ms: Callable[[], int],
        batches_leave: Callable[[], bool],
        patience_seconds: float = 10.0,
        committed: Callable[[], None] = lambda: None,
    ) -> None:
        """`batches_leave` says whether deliveries go well, so that a journal that is full won't stay so;
        `patience_seconds` bounds how long a message waits for that; `committed` is called when something may have been
        committed."""
        self._batches_leave = batches_leave
        self._patience_seconds = patience_seconds
        self._writer = writer
        self._commits = GroupCommit(writer, thread, metrics, self._join, committed)
        self._validator = validator
        self._validation = validation
        self._gate = gate
        self.max_pending_bytes = max_pending_bytes
        """Bytes of events that may wait for a commit; may be changed at any time."""
        self._now_ms = now_ms
        self._emitters = EmitterTable()
        self._validating: set[asyncio.Task[None]] = set()
        self._off_loop_bytes = 0
        """Bytes that wait to be validated on the thread."""
        self._stopping = False

    async def emit(self, access: Access, payload: bytes) -> Acknowledgement:
        """Store one event; durable when it returns.

        Raises:
            InvalidRequest: the event is wrong.
            PermissionDenied: it speaks for another component.
            ResourceExhausted, Unavailable: it isn't stored, or not known to be.
        """
        size = len(payload)
        if size <= SMALL_BYTES:
            self._check_room(size)
            outcome: asyncio.Future[Acknowledgement] = asyncio.get_running_loop().create_future()
            self._commits.add_single(SingleEvent(access, payload, outcome))
            return await outcome
        if size > LARGE_BYTES:
            submission = await self._on_thread(size, lambda: self._validate_one(access, payload))
        else:
            submission = self._validate_one(access, payload)
        [(_, acknowledgement)] = shares(submission.block, await self._awaited(submission))
        return acknowledgement

    def _join(self, events: Sequence[SingleEvent]) -> Group:
        """One submission for the events of each emitter; what is refused is told at once."""
        by_emitter: dict[tuple[bytes, frozenset[str]], list[SingleEvent]] = {}
        for event in events:
            try:
                key = self._emitters.find(event.access).receipt, event.access.identity.roles
            except Exception as error:  # a fault of ours must stop neither the others nor the service
                settle(event.outcome, error)
            else:
                by_emitter.setdefault(key, []).append(event)
        group: Group = []
        for joined in by_emitter.values():
            try:
                group += self._submission_of(joined)
            except Exception as error:  # whatever it is, every caller waits for an answer
                for event in joined:
                    settle(event.outcome, error)
        return group

    def _submission_of(self, events: Sequence[SingleEvent]) -> Group:
        access, now_ms = events[0].access, self._now_ms()
        payloads = joined_payloads([event.payload for event in events])
        validated = self._validator.validate(payloads, access.identity, now_ms)
        for index, error in validated.errors.items():
            settle(events[index].outcome, error)
        if not len(validated.block):
            return []
        submission = self._submission(access, now_ms, validated)
        self._gate.admit(submission.block.bytes)

        def tell(answer: BatchAcknowledgement | Exception) -> None:
            if isinstance(answer, Exception):
                for event in events:
                    settle(event.outcome, answer)
            else:
                for index, acknowledgement in shares(submission.block, answer):
                    settle(events[index].outcome, acknowledgement)

        return [(submission, tell)]

    @property
    def has_room(self) -> bool:
        """Whether a message had better not wait for `until_room`."""
        return not self._gate.is_nearly_full(self._off_loop_bytes) or not self._batches_leave() or self._stopping

    async def until_room(self) -> None:
        """Wait while the journal is nearly full, as long as batches leave it and for a bounded time: a stream that is
        faster than deliveries is slowed down, and refused only if that doesn't help."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience_seconds
        while not self.has_room and loop.time() < until:  # noqa: ASYNC110 -- nobody tells of room
            await asyncio.sleep(_LOOK_SECONDS)

    def submit(self, access: Access, payloads: Payloads | UnreadPayloads, tell: Tell) -> None:
        """Validate and take a message's events at once; `tell` is told when they are durable, or why they aren't.

        Raises:
            ResourceExhausted, Unavailable: nothing of the message is taken, and nothing is told.
        """
        if isinstance(payloads, UnreadPayloads):
            self._submit_large(access, payloads.size, payloads.read, tell)
        elif payloads.largest > LARGE_BYTES or len(payloads.data) > LARGE_MESSAGE_BYTES:
            self._submit_large(access, len(payloads.data), lambda: payloads, tell)
        else:
            self._take(self._validated(access, payloads), tell)

    def _submit_large(self, access: Access, size: int, read: Callable[[], Payloads], tell: Tell) -> None:
        async def submit() -> None:
            try:
                self._take(await self._on_thread(size, lambda: self._validated(access, read())), tell)
            except asyncio.CancelledError:
                tell(Unavailable("the events are not known to be stored; send them again"))
                raise
            except Exception as error:  # whatever it is, the caller waits for an answer
                tell(error)

        task = asyncio.create_task(submit())
        self._validating.add(task)  # the loop itself keeps no task
        task.add_done_callback(self._validating.discard)

    async def _on_thread(self, size: int, work: Callable[[], Answer]) -> Answer:
        """Megabytes of JSON can be made to take a second to validate, which must hold up their sender alone; while they
        wait for that, they count as what waits for the disk does."""
        self._check_room(size)
        self._off_loop_bytes += size
        try:
            return await asyncio.get_running_loop().run_in_executor(self._validation, work)
        finally:
            self._off_loop_bytes -= size

    def _validated(self, access: Access, payloads: Payloads) -> Submission:
        now_ms = self._now_ms()
        return self._submission(access, now_ms, self._validator.validate(payloads, access.identity, now_ms))

    def _validate_one(self, access: Access, payload: bytes, *, own: bool = False) -> Submission:
        now_ms = self._now_ms()
        validated = self._validator.validate(single_payload(payload), access.identity, now_ms, own=own)
        for error in validated.errors.values():
            raise error
        return self._submission(access, now_ms, validated)

    def _submission(self, access: Access, now_ms: int, validated: Validated) -> Submission:
        receipt = self._emitters.find(access).receipt
        if not validated.errors:
            return Submission(receipt, now_ms, validated.block, (), validated.assigned)
        return Submission(receipt, now_ms, validated.block, validated.refused, validated.assigned, validated.denied)

    def submit_own(self, access: Access, payload: bytes) -> asyncio.Future[BatchAcknowledgement]:
        """Take an event of the service itself, which has a reserve beyond quota and floor."""
        return self._awaited(self._validate_one(access, payload, own=True), own=True)

    async def run(self) -> None:
        """Commit what is pending, group after group, until `stop`."""
        await self._commits.run()

    def stop(self) -> None:
        """Refuse what comes from now on; `run` returns once what is pending is committed."""
        self._stopping = True
        self._commits.stop()

    def goes_first(self) -> bool:
        """Whether deliveries had better wait: more events wait for the disk than one message has, and the journal has
        room. An event is safe in the journal and found there; its callers wait for that, and nobody for its batch."""
        return self._commits.pending_bytes > _BUSY_BYTES and not self._gate.is_half_full

    def pending_bytes(self) -> int:
        """Bytes that wait for a commit."""
        return self._commits.pending_bytes

    def _awaited(self, submission: Submission, *, own: bool = False) -> asyncio.Future[BatchAcknowledgement]:
        """Take a submission; what is returned resolves when it is durable, or fails."""
        outcome: asyncio.Future[BatchAcknowledgement] = asyncio.get_running_loop().create_future()
        self._take(submission, partial(settle, outcome), own=own)
        return outcome

    def _take(self, submission: Submission, tell: Tell, *, own: bool = False) -> None:
        size = submission.block.bytes
        self._check_room(size)
        self._gate.admit(size, own=own)
        self._commits.add(submission, tell)

    def _check_room(self, size: int) -> None:
        """Raise what a caller is told when nothing more can be taken now."""
        if self._stopping:
            raise Unavailable("the service is stopping; call another or try again later", reason="STOPPING")
        if self._writer.journal.closed:
            raise JournalClosed
        pending = self._commits.pending_bytes + self._off_loop_bytes
        if pending and pending + size > self.max_pending_bytes:
            raise ResourceExhausted("too much is waiting for the disk", reason="OVERLOADED", retry_after=1.0)
