"""Searches as the edges call them: on bounded threads, within a time, each leaving its trace before its answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import TypeVar

from server.audit_log.access import Access
from server.audit_log.group_commit import settle
from server.audit_log.search.query import EventSelector, FoundEvent, PrepareNext, SearchPage, SearchQuery
from server.audit_log.search.rights import condition_of, restricted
from server.audit_log.search.search import Search
from server.audit_log.service_log import ServiceLog
from server.audit_log.shared_places import SharedPlaces
from server.errors import FailedPrecondition, NotFound
from server.observability.search_metrics import SearchMetrics
from server.observability.spans import NO_SPANS, Spans

PLACES = 64
_ANSWER_SECONDS = 0.2
"""Kept back from the caller's deadline for the trace and the way back."""

_LOG = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class Searches:
    """The search use cases, asynchronous."""

    def __init__(
        self,
        search: Search,
        threads: Executor,
        remote_threads: Executor,
        service_log: ServiceLog,
        metrics: SearchMetrics,
        *,
        limit_seconds: float,
        spans: Spans = NO_SPANS,
    ) -> None:
        """`remote_threads` are for searches that may wait for another service, so that the others don't wait too."""
        self._search = search
        self._threads = threads
        self._remote_threads = remote_threads
        self._service_log = service_log
        self._metrics = metrics
        self._spans = spans
        self.limit_seconds = limit_seconds
        """Longest that one search may run; may be changed at any time."""
        self.places = SharedPlaces(PLACES, "too many searches are waiting")
        """Those of searches and gets that run or wait for a thread."""

    async def search(
        self,
        access: Access,
        query: SearchQuery,
        convert: Callable[[SearchPage], Answer],
        *,
        timeout: float | None,  # noqa: ASYNC109 -- an answer in part needs to know it
    ) -> Answer:
        """One page, with what could be read within `timeout` seconds and the caller may see; as `convert` gives it,
        which is called on the thread that read the page.

        Raises:
            InvalidRequest, NotFound, FailedPrecondition, DeadlineExceeded: see Search.page.
            ResourceExhausted: too many searches wait.
            Unavailable: the trace can't be journalled.
        """
        started = time.monotonic()
        asked, loop = restricted(query, access), asyncio.get_running_loop()
        # A plain future: an executor's, chained to one of the loop's, and a task that awaits it cost far more.
        is_read: asyncio.Future[tuple[SearchPage, Answer]] = loop.create_future()

        def read() -> None:
            try:
                page = self._search.page(access.identity, asked, self._deadline(started, timeout))
                # Not beside the trace: both need the interpreter's lock, and which has it keeps it for half a ms.
                loop.call_soon_threadsafe(settle, is_read, (page, convert(page)))
            except Exception as error:
                loop.call_soon_threadsafe(settle, is_read, error)

        with self._place(access, query.storage) as threads:
            job = threads.submit(read)
            try:
                with self._spans.span("search.read"):
                    page, answer = await is_read
                loop.call_soon(self._prepare, page)  # when the trace is on its way to the disk
                await self._note(access, query, page, time.monotonic() - started)
            finally:
                job.cancel()
        return answer

    async def _note(self, access: Access, query: SearchQuery, page: SearchPage, seconds: float) -> None:
        """Measure a page, and make its trace durable."""
        cost = page.cost
        self._metrics.ended(
            seconds,
            objects=cost.objects,
            size=cost.bytes,
            rows=cost.rows,
            found=len(page.rows),
            missing={each.reason.value for each in page.missing},
        )
        with self._spans.span("search.trace"):
            await self._service_log.searched(access, query, page)

    def _prepare(self, page: SearchPage) -> None:
        """Have the next page cost less, where that holds up nobody."""
        if page.prepare_next is not None and self._is_alone():
            with contextlib.suppress(RuntimeError):  # the threads have been shut down
                self._threads.submit(_prepared, page.prepare_next, self._is_alone)

    def _is_alone(self) -> bool:
        """Whether whoever walks through pages is the only one who searches."""
        return self.places.taken <= 1

    async def get(
        self,
        access: Access,
        selector: EventSelector,
        *,
        timeout: float | None,  # noqa: ASYNC109 -- as above
    ) -> tuple[FoundEvent, bytes]:
        """One event and its stored JSON.

        Raises:
            NotFound: there is none that the caller may see. FailedPrecondition: there are several.
            StorageUnavailable, ResourceExhausted, Unavailable: it can't be read now, or not traced.
        """
        deadline = self._deadline(time.monotonic(), timeout)
        condition = condition_of(access)
        try:
            found = await self._run(
                lambda: self._search.get(access.identity, selector, deadline, condition=condition),
                access,
                selector.storage,
            )
        except (NotFound, FailedPrecondition):
            await self._service_log.read(access, selector, "")  # that there is none, or several, is an answer too
            raise
        await self._service_log.read(access, selector, found.position.uid)
        return found, found.data or b""

    def _deadline(self, started: float, timeout: float | None) -> float:
        seconds = self.limit_seconds
        if timeout is not None:
            seconds = min(seconds, max(timeout - _ANSWER_SECONDS, timeout / 2))
        return started + seconds

    async def _run(self, work: Callable[[], Answer], access: Access, storage: str) -> Answer:
        with self._place(access, storage) as threads:
            return await asyncio.get_running_loop().run_in_executor(threads, work)

    @contextlib.contextmanager
    def _place(self, access: Access, storage: str) -> Iterator[Executor]:
        """A place among the searches under way, and the threads that it runs on."""
        with self.places.place(access.identity):
            yield self._remote_threads if self._search.may_wait(storage) else self._threads


def _prepared(prepare: PrepareNext, is_alone: Callable[[], bool]) -> None:
    try:
        prepare(is_alone)
    except Exception:  # nobody waits for what comes of it, and the next page is read when it is asked for
        _LOG.exception("pages can't be read ahead")
