"""Group commit: brings submissions to the journal's thread, those of many callers to one sync."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

from server.audit_log.log_writer import LogWriter, Submission
from server.audit_log.receipts import BatchAcknowledgement
from server.audit_log.single_event import SingleEvent
from server.errors import AuditStoreError
from server.observability.journal_metrics import JournalMetrics

GATHER_SECONDS = 0.0005
"""How long a commit waits for others, for each caller that the last one knew of."""
_MOST_GATHERED = 16
"""Callers beyond these make no commit wait for longer."""
_ENOUGH = 32
_ENOUGH_BYTES = 32 * 1024
"""A group of this many submissions, or bytes, waits for no others: its own share of the commit is small."""
_GROUP_BYTES = 8 * 1024 * 1024
_JOINED_AT_ONCE = 256
"""Single events joined in one go, between which the loop's other work gets its turn."""

_log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Answers = list[BatchAcknowledgement | AuditStoreError]
Tell = Callable[[BatchAcknowledgement | Exception], None]
"""Is told, once and on the event loop, what became of a submission."""
Group = list[tuple[Submission, Tell]]
Pending = tuple[Submission, Tell] | SingleEvent


class GroupCommit:
    """Commits submissions group after group, one at a time. Lives on the event loop; only `commit` runs elsewhere."""

    def __init__(
        self,
        writer: LogWriter,
        thread: Executor,
        metrics: JournalMetrics,
        join: Callable[[Sequence[SingleEvent]], Group],
        committed: Callable[[], None] = lambda: None,
    ) -> None:
        """`join` makes submissions of single events, and tells those that are refused; `committed` is called when
        something may have been committed."""
        self._committed = committed
        self._writer = writer
        self._thread = thread
        self._metrics = metrics
        self._join = join
        self._pending: list[Pending] = []
        self.pending_bytes = 0
        """Bytes of JSON that are not durable yet."""
        self._callers = 0
        """How many waited when the last commit was done: those it served, and those it left."""
        self._gathering: asyncio.Future[None] | None = None
        self._wake = asyncio.Event()
        self._stopping = False

    def add(self, submission: Submission, tell: Tell) -> None:
        """Have a submission committed; `tell` is told when it is durable, or what became of it else."""
        self._add((submission, tell), submission.block.bytes)

    def add_single(self, event: SingleEvent) -> None:
        """Have a single event validated and committed with others; its outcome resolves, or fails.

        That is done when its group is committed: events that are validated together take a tenth of the time that each
        takes between two turns of the loop.
        """
        self._add(event, len(event.payload))

    def _add(self, pending: Pending, size: int) -> None:
        if not self._pending:
            self._wake.set()
        self._pending.append(pending)
        self.pending_bytes += size
        if self._gathering is not None and self._is_enough():
            self._end_gathering()

    async def run(self) -> None:
        """Commit what is pending, group after group, until `stop`."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                if not self._is_enough():
                    await self._gather()
                await self._commit_some()
            if self._stopping:
                return

    def stop(self) -> None:
        """Have `run` return once what is pending is committed. Nothing may be added any more."""
        self._stopping = True
        self._wake.set()
        self._end_gathering()

    def _is_enough(self) -> bool:
        """Whether a commit would gain nothing by waiting: it is large, or all have come that the last one knew of."""
        return (
            len(self._pending) >= min(self._callers, _ENOUGH) or self.pending_bytes >= _ENOUGH_BYTES or self._stopping
        )

    async def _gather(self) -> None:
        """Wait a moment for more to commit together. A caller that is alone never waits.

        A commit costs as much as some thirty events' parts of it, in hand-offs between threads most of all. Where the
        last one found several callers, as many are likely to come again.
        """
        loop = asyncio.get_running_loop()
        self._gathering = loop.create_future()
        timer = loop.call_later(GATHER_SECONDS * min(self._callers, _MOST_GATHERED), self._end_gathering)
        try:
            await self._gathering
        finally:
            timer.cancel()
            self._gathering = None

    def _end_gathering(self) -> None:
        if self._gathering is not None:
            _resolve(self._gathering, None)

    async def _commit_some(self) -> None:
        size = count = 0
        for pending in self._pending:
            each = _size(pending)
            if count and size + each > _GROUP_BYTES:
                break
            size += each
            count += 1
        taken, self._pending = self._pending[:count], self._pending[count:]
        group = [pending for pending in taken if not isinstance(pending, SingleEvent)]
        singles = [pending for pending in taken if isinstance(pending, SingleEvent)]
        for start in range(0, len(singles), _JOINED_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            group += self._join(singles[start : start + _JOINED_AT_ONCE])
        if group:
            await self._commit(group)
        self.pending_bytes -= size
        self._callers = count + len(self._pending)

    async def _commit(self, group: Group) -> None:
        started = time.perf_counter()
        answers = await self._on_journal_thread([submission for submission, _ in group])
        if isinstance(answers, Exception):
            # A fault of ours: nobody is told that it went well, and whoever reads the log learns of it.
            for _, tell in group:
                _tell(tell, answers)
            return
        for (_, tell), answer in zip(group, answers, strict=True):
            _tell(tell, answer)
        self._committed()
        size = sum(submission.block.bytes for submission, _ in group)
        self._measure(answers, time.perf_counter() - started, size)

    def _on_journal_thread(self, submissions: list[Submission]) -> asyncio.Future[Answers | Exception]:
        """Commit there. By a plain future: an executor's, chained to one of the loop's, costs several times as much."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Answers | Exception] = loop.create_future()

        def commit() -> None:
            answers: Answers | Exception
            try:
                answers = self._writer.commit(submissions)
            except Exception as error:
                answers = error  # for every caller of the group
            loop.call_soon_threadsafe(_resolve, done, answers)

        try:
            self._thread.submit(commit)
        except RuntimeError as error:  # it has been shut down
            done.set_result(error)
        return done

    def _measure(self, answers: Sequence[BatchAcknowledgement | AuditStoreError], seconds: float, size: int) -> None:
        done = [answer for answer in answers if isinstance(answer, BatchAcknowledgement)]
        given = sum(last - first + 1 for answer in done for first, last in answer.sequences)
        reused = sum(len(answer.uid_reused) for answer in done)
        if given:  # else nothing was written: all were there already, or the journal failed
            self._metrics.committed(given, seconds, size)
        self._metrics.emitted(
            accepted=given - reused,
            repeated=sum(len(answer.repeated) for answer in done),
            refused=sum(len(answer.refused) for answer in done),
            uid_reused=reused,
        )


def _size(pending: Pending) -> int:
    return len(pending.payload) if isinstance(pending, SingleEvent) else pending[0].block.bytes


def _tell(tell: Tell, outcome: BatchAcknowledgement | Exception) -> None:
    try:
        tell(outcome)
    except Exception:  # a fault of ours must stop neither the others nor the service
        _log.exception("a caller can't be told what became of its events")


def _resolve(future: asyncio.Future[Answer], answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)


def settle(future: asyncio.Future[Answer], answer: Answer | Exception) -> None:
    """Resolve a future, or fail it, if its caller still waits."""
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
