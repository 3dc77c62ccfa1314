"""Searches in recorded text: what one takes that nobody waits for any more, and the time that one has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from server.audit_log.access import Access
from server.recordings.playback.lines import Line
from server.recordings.text_search import text_search
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


class TimedIndex(TextIndex):
    """Takes five seconds by a clock, and notes how many it may take."""

    def __init__(self, path: Path, clock: SimpleNamespace) -> None:
        super().__init__(path)
        self.clock = clock
        self.seconds: list[float] = []

    def find(self, *asked: Any) -> list[TextHit]:
        self.seconds.append(asked[-2] - self.clock.now)
        self.clock.now += 5
        return super().find(*asked)


class LateThread(Executor):
    """One that begins a thousand seconds after it is asked."""

    def __init__(self, clock: SimpleNamespace) -> None:
        self.clock = clock

    def submit(self, *work: Any, **named: Any) -> Future[Any]:
        self.clock.now += 1_000
        done = Future[Any]()
        done.set_result(work[0](*work[1:], **named))
        return done


@in_loop
async def test_its_time_counts_on_the_thread_and_not_while_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    index = TimedIndex(tmp_path / "text.sqlite", clock)
    addition = index.add("upload", "session")
    addition.add(Line(0, "text") for _ in range(3))
    addition.end(0, "", "")
    monkeypatch.setattr(text_search, "time", clock)
    monkeypatch.setattr(text_search, "_LOOKED_AT", 1)
    monkeypatch.setattr("server.recordings.text_search.text_index.time", SimpleNamespace(monotonic=lambda: 0.0))
    search = TextSearch(index, lambda *_: (), cast(Any, None), NoLog(), b"k" * 32, LateThread(clock))
    await search.search(access(), TextQuery("text"))
    assert index.seconds == [20, 15, 10, 5]
