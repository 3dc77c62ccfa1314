"""Places of which no caller gets all: lists of sessions and chunks, questions of rights, searches in recorded text."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from server.audit_log.access import Access
from server.audit_log.export import exports
from server.audit_log.export.chunk import ChunkQuery
from server.audit_log.shared_places import SharedPlaces
from server.errors import ResourceExhausted
from server.recordings.sessions import sessions
from server.recordings.sessions.session import SessionQuery
from server.recordings.text_search import text_search
from server.recordings.text_search.text_index import TextIndex
from server.recordings.text_search.text_query import TextQuery
from server.recordings.text_search.text_search import TextSearch
from tests.contract.export_rig import Exporting
from tests.contract.search_rig import SearchRig
from tests.contract.session_rig import ALICE, KEY, SessionRig, access_of
from tests.loops import in_loop, until

HERS = access_of(ALICE, "list", "read")
HIS = replace(HERS, identity=replace(ALICE, name="bob", certificate_serial="b1"))

Call = Callable[[Access], Awaitable[object]]


class Held(Executor):
    """Takes work and does none."""

    def __init__(self) -> None:
        self.waiting: list[Future[Any]] = []

    def submit(self, *_work: Any, **_named: Any) -> Future[Any]:
        self.waiting.append(Future())
        return self.waiting[-1]


def lists_of_sessions(rig: SearchRig, held: Held, folder: Path) -> Call:
    under_test = SessionRig(rig).sessions
    under_test._threads = held
    return lambda access: under_test.list(access, SessionQuery())


def questions_of_rights(rig: SearchRig, held: Held, folder: Path) -> Call:
    under_test = SessionRig(rig).sessions
    under_test._threads = held
    return lambda access: under_test.refusal(access, "any")


def lists_of_chunks(rig: SearchRig, held: Held, folder: Path) -> Call:
    under_test = Exporting(rig, cast(Any, held)).exports
    return lambda access: under_test.chunks(access, ChunkQuery())


def searches_in_text(rig: SearchRig, held: Held, folder: Path) -> Call:
    nothing: Any = None
    under_test = TextSearch(TextIndex(folder / "text.sqlite"), lambda *_: (), nothing, nothing, KEY, held)
    return lambda access: under_test.search(access, TextQuery("text"))


@pytest.mark.parametrize(
    ("calls", "places"),
    [
        (lists_of_sessions, sessions.PLACES),
        (questions_of_rights, sessions.PLACES),
        (lists_of_chunks, exports.LISTS),
        (searches_in_text, text_search.PLACES),
    ],
)
@in_loop
async def test_whoever_calls_without_end_leaves_places_to_others(
    calls: Callable[[SearchRig, Held, Path], Call], places: int, rig: SearchRig, tmp_path: Path
) -> None:
    held, share = Held(), places * 3 // 4
    call = calls(rig, held, tmp_path)
    hers = [asyncio.ensure_future(call(HERS)) for _ in range(places)]
    await until(lambda: len(held.waiting) + sum(each.done() for each in hers) == places)
    refused = [each.exception() for each in hers if each.done()]
    assert [type(each) for each in refused] == [ResourceExhausted] * (places - share)
    his = [asyncio.ensure_future(call(HIS)) for _ in range(places - share + 1)]
    await until(lambda: len(held.waiting) == places and his[-1].done())
    assert not any(each.done() for each in his[:-1])
    for each in [*hers, *his]:
        each.cancel()
    await asyncio.gather(*hers, *his, return_exceptions=True)
    last = asyncio.ensure_future(call(HERS))
    await until(lambda: len(held.waiting) == places + 1)
    last.cancel()


def test_a_place_comes_back_however_its_call_ends() -> None:
    places = SharedPlaces(4, "too many")
    for _ in range(5):
        with pytest.raises(ValueError, match="it went wrong"), places.place(ALICE):
            raise ValueError("it went wrong")
    with places.place(ALICE), places.place(ALICE), places.place(ALICE):
        with pytest.raises(ResourceExhausted) as refused, places.place(ALICE):
            pass
        assert (refused.value.reason, refused.value.metadata["most"]) == ("OVERLOADED", "3")
    assert places.taken == 0
    assert not places._of_callers
