"""Searches in recorded text: what one takes that nobody waits for any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

from server.audit_log.access import Access
from server.recordings.text_search.text_index import TextIndex
from server.recordings.text_search.text_query import TextHit, TextQuery
from server.recordings.text_search.text_search import TextSearch
from tests.loops import in_loop, until
from tests.uploads_under_test import access


class LongIndex(TextIndex):
    """Finds nothing for as long as somebody waits for it."""

    begun = False
    was_given_up = False

    def find(self, *asked: Any) -> list[TextHit]:
        is_given_up: Callable[[], bool] = asked[-1]
        self.begun = True
        until_then = time.monotonic() + 60
        while not is_given_up() and time.monotonic() < until_then:
            time.sleep(0.001)
        self.was_given_up = is_given_up()
        return []


class NoLog:
    """Leaves no trace."""

    async def recordings_searched(self, access: Access, filters: Any, **members: object) -> None: ...


@in_loop
async def test_one_that_its_caller_breaks_off_leaves_its_thread_to_the_next(tmp_path: Path) -> None:
    index = LongIndex(tmp_path / "text.sqlite")
    with ThreadPoolExecutor(1) as threads:
        search = TextSearch(index, lambda *_: (), cast(Any, None), NoLog(), b"k" * 32, threads)
        task = asyncio.create_task(search.search(access(), TextQuery("text")))
        await until(lambda: index.begun)
        task.cancel()
        await asyncio.wait([task])
    assert index.was_given_up
