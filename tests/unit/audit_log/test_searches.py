"""A page leaves when its trace is durable and not before, whatever is done meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import pytest

from rbac.identities import SERVICE
from server.audit_log.access import Access
from server.audit_log.search.query import Cost, SearchPage, SearchQuery, Watermark
from server.audit_log.search.search import Search
from server.audit_log.search.searches import Searches
from server.audit_log.service_log import ServiceLog
from server.errors import ResourceExhausted, Unavailable
from server.observability.metrics import Metrics

ACCESS = Access(SERVICE, "peer", "id")


class HeldLog:
    """A service log whose traces become durable, or fail, when a test says so: a disk can't be held up otherwise."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def searched(self, access: Access, query: SearchQuery, page: SearchPage) -> None:
        self.asked.set()
        await self.durable


class OnePage:
    """A search that finds nothing, or fails."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.fails = fails
        self.prepared = threading.Event()

    def may_wait(self, storage: str) -> bool:
        return False

    def page(self, *_: object) -> SearchPage:
        if self.fails:
            raise self.fails
        return SearchPage([], "", "scan", Cost(), Watermark({}, 0), [], "q", prepare_next=lambda _: self.prepared.set())


def _run(work: Callable[[Searches, HeldLog, OnePage], Any], fails: Exception | None = None) -> None:
    async def main() -> None:
        log, search = HeldLog(), OnePage(fails)
        with ThreadPoolExecutor(1) as threads:
            parts = cast(Search, search), threads, threads, cast(ServiceLog, log)
            await work(Searches(*parts, Metrics(()).searches, limit_seconds=60), log, search)

    asyncio.run(main())


def test_an_answer_that_is_ready_waits_for_its_trace() -> None:
    async def work(searches: Searches, log: HeldLog, search: OnePage) -> None:
        made = threading.Event()
        answer = asyncio.ensure_future(
            searches.search(ACCESS, SearchQuery(), lambda page: made.set() or page.query_id, timeout=None)
        )
        await log.asked.wait()
        await asyncio.to_thread(made.wait, 60)
        assert made.is_set()
        assert await asyncio.to_thread(search.prepared.wait, 60), "the next page is prepared beside the trace"
        assert not answer.done()
        log.durable.set_result(None)
        assert await answer == "q"

    _run(work)


def test_an_answer_without_a_trace_does_not_leave() -> None:
    async def work(searches: Searches, log: HeldLog, search: OnePage) -> None:
        log.durable.set_exception(Unavailable("the trace can't be journalled"))
        with pytest.raises(Unavailable):
            await searches.search(ACCESS, SearchQuery(), lambda page: page, timeout=None)

    _run(work)


@pytest.mark.parametrize("where", ["search", "convert"])
def test_what_goes_wrong_is_told_to_the_caller(where: str) -> None:
    error = ValueError("it went wrong")

    async def work(searches: Searches, log: HeldLog, search: OnePage) -> None:
        def convert(page: SearchPage) -> SearchPage:
            raise error

        log.durable.set_result(None)
        with pytest.raises(ValueError, match="it went wrong"):
            await searches.search(ACCESS, SearchQuery(), convert, timeout=None)
        assert not log.asked.is_set(), "nothing is given, and so nothing is told of"
        assert searches.places.taken == 0

    _run(work, error if where == "search" else None)


def test_the_next_page_is_not_prepared_while_others_search() -> None:
    async def work(searches: Searches, log: HeldLog, search: OnePage) -> None:
        searches.places.taken += 1  # somebody else's
        answer = asyncio.ensure_future(searches.search(ACCESS, SearchQuery(), lambda page: page, timeout=None))
        await log.asked.wait()
        log.durable.set_result(None)
        await answer
        # There is one thread, which does what it is given in turn.
        await asyncio.get_running_loop().run_in_executor(searches._threads, int)
        assert not search.prepared.is_set()

    _run(work)


def test_no_caller_takes_every_place() -> None:
    other = replace(ACCESS, identity=replace(SERVICE, name="other"))

    async def work(searches: Searches, log: HeldLog, search: OnePage) -> None:
        def begin(access: Access) -> asyncio.Future[str]:
            return asyncio.ensure_future(
                searches.search(access, SearchQuery(), lambda page: page.query_id, timeout=None)
            )

        searches.places.most_of_caller = 2
        under_way = [begin(ACCESS), begin(ACCESS)]
        await log.asked.wait()
        with pytest.raises(ResourceExhausted):
            await asyncio.wait_for(begin(ACCESS), 60)
        under_way.append(begin(other))
        log.durable.set_result(None)
        assert await asyncio.gather(*under_way) == ["q", "q", "q"]
        assert await begin(ACCESS) == "q"
        assert searches.places.taken == 0

    _run(work)
