"""Runs queries: a bounded number at once, each identity in its turn, each within its caller's time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field

from server.storage.aws.athena.budget import ReadBudget
from server.storage.aws.athena.fair_queue import FairQueue
from server.storage.aws.athena.query import Answer, AthenaQuery, Question
from server.storage.finding import FinderBusy, FinderFailed
from server.storage.ports import ScanTimeout

_STOP_SECONDS = 5.0
"""How long a stop waits for calls that are under way."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A query that is no more, for whoever counts them. `how` is `succeeded`, `failed` or `timed_out`."""

    how: str
    seconds: float
    bytes: int
    requests: int


@dataclass(slots=True, eq=False)
class _Job:
    question: Question
    whose: Hashable
    deadline: float
    answer: Future[Answer] = field(default_factory=Future)


class AthenaExecutor:
    """Queries of all storages. Safe to use from several threads.

    A query that nobody waits for any more can't be stopped by the calls that the role may make. So it keeps its place
    among those that run at once until it ends, and what it read is counted.
    """

    def __init__(
        self,
        most: int,
        budget: ReadBudget,
        on_ended: Callable[[Ended], None] = lambda ended: None,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] | None = None,
    ) -> None:
        """At most `most` queries run at once. `clock` is of monotonic seconds, and `pause` waits for some."""
        self._most = most
        self._budget = budget
        self._on_ended = on_ended
        self._clock = clock
        self._stopping = threading.Event()
        self._pause = pause or self._wait
        self._queue: FairQueue[_Job] = FairQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    @property
    def waiting(self) -> int:
        """Queries that wait for their turn."""
        return len(self._queue)

    def run(self, question: Question, whose: Hashable, deadline: float) -> Answer:
        """Ask, and wait for the answer until `deadline` at most.

        Raises:
            FinderFailed: there is none. FinderBusy: the budget is used up. ScanTimeout: the deadline passed.
        """
        self._budget.check(whose)
        job = _Job(question, whose, deadline)
        self._begin_thread()
        self._queue.put(whose, job)
        try:
            return job.answer.result(max(0.0, deadline - self._clock()))
        except TimeoutError:
            self._queue.discard(whose, job)
            raise ScanTimeout from None

    def close(self) -> None:
        """Wait for no query any more; those that wait fail."""
        self._stopping.set()
        for job in self._queue.close():
            job.answer.set_exception(FinderFailed("the service is stopping"))
        until = time.monotonic() + _STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _wait(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise FinderFailed("the service is stopping")

    def _begin_thread(self) -> None:
        with self._lock:
            if len(self._threads) < self._most:
                thread = threading.Thread(target=self._work, name=f"athena-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _work(self) -> None:
        while (job := self._queue.take()) is not None:
            if self._clock() >= job.deadline:
                continue  # whoever asked knows
            try:
                self._budget.check(job.whose)
            except FinderBusy as error:
                job.answer.set_exception(error)
                continue
            self._carry_out(job)

    def _carry_out(self, job: _Job) -> None:
        query = AthenaQuery(job.question, self._clock, self._pause)
        how = "failed"
        try:
            query.start(job.deadline)
            query.wait(job.deadline)
            answer = Answer(query.rows(job.deadline), query.bytes, query.requests)
        except ScanTimeout as error:
            how = "timed_out"
            job.answer.set_exception(error)
        except Exception as error:  # whoever waits must learn of it, and the thread goes on
            job.answer.set_exception(error)
        else:
            self._count(job, query, "succeeded")
            job.answer.set_result(answer)
            return
        if query.id and not query.ended:
            query.wait_unwanted(self._stopping.is_set)
        self._count(job, query, how)

    def _count(self, job: _Job, query: AthenaQuery, how: str) -> None:
        self._budget.spend(job.whose, query.bytes)
        self._on_ended(Ended(how, self._clock() - query.began, query.bytes, query.requests))
