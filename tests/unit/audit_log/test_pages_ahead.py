"""Pages are read ahead for the same question alone, kept once, and no more of them than there is room for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import pytest

from server.audit_log.search.merging import Span
from server.audit_log.search.pages_ahead import Asked, Made, PagesAhead
from server.state.catalogue_rows import CatalogueObject
from server.storage.query import Order, Position

OBJECT = CatalogueObject("default", "2026-11-18/log-1-9.parquet", 9, 900, 1, 9, None, "digest", "log", 1, 9)
SPAN = Span(Order.NEWEST_FIRST, 0, 9, Position(8, "u", "d"), 3)
ASKED = Asked(SPAN, {"log": 9}, [OBJECT])
MIB = 1 << 20
Page = TypeVar("Page")


def _made(page: Page, size: int = MIB, asked: Asked = ASKED) -> Sequence[Made[Page]]:
    return [Made(asked, page, size)]


def _take(ahead: PagesAhead[str], asked: Asked = ASKED, seconds: float = 60) -> str | None:
    return ahead.take(asked, time.monotonic() + seconds)


def test_a_page_is_given_once() -> None:
    ahead: PagesAhead[str] = PagesAhead()
    ahead.read(ASKED, lambda: _made("page"))
    ahead.read(ASKED, lambda: _made("the same once more"))
    assert [_take(ahead), _take(ahead)] == ["page", None]


def test_pages_that_were_made_with_it_are_there_when_it_is() -> None:
    ahead: PagesAhead[str] = PagesAhead()
    later = replace(ASKED, span=replace(SPAN, high=5))
    ahead.read(ASKED, lambda: [*_made("page"), *_made("the one after", asked=later)])
    assert [_take(ahead), _take(ahead, later), _take(ahead, later)] == ["page", "the one after", None]


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, counted={"log": 10}),
        replace(ASKED, objects=[replace(OBJECT, sha256="another")]),
        replace(ASKED, objects=[OBJECT, OBJECT]),
        replace(ASKED, span=replace(SPAN, order=Order.OLDEST_FIRST)),
        replace(ASKED, span=replace(SPAN, beyond=Position(8, "u", "c"))),
        replace(ASKED, span=replace(SPAN, rows=4)),
        replace(ASKED, span=replace(SPAN, low=1)),
    ],
)
def test_whoever_asks_anything_else_gets_none(other: Asked) -> None:
    ahead: PagesAhead[str] = PagesAhead()
    ahead.read(ASKED, lambda: _made("page"))
    assert _take(ahead, other) is None


def test_a_page_that_is_being_read_is_waited_for_until_the_deadline() -> None:
    ahead: PagesAhead[str] = PagesAhead()
    begun, goes_on = threading.Event(), threading.Event()

    def make() -> Sequence[Made[str]]:
        begun.set()
        goes_on.wait()
        return _made("page")

    def read_meanwhile(take: Callable[[], str | None]) -> str | None:
        begun.clear()
        goes_on.clear()
        thread = threading.Thread(target=ahead.read, args=(ASKED, make))
        thread.start()
        begun.wait()
        try:
            return take()
        finally:
            goes_on.set()
            thread.join()

    def let_go_and_take() -> str | None:
        threading.Timer(0.01, goes_on.set).start()
        return _take(ahead)

    assert read_meanwhile(lambda: _take(ahead, seconds=0)) is None
    assert read_meanwhile(let_go_and_take) == "page"


def test_what_could_not_be_read_keeps_nobody_waiting_and_nothing_in_memory() -> None:
    ahead: PagesAhead[str] = PagesAhead()

    def fail() -> Sequence[Made[str]]:
        raise ValueError

    with pytest.raises(ValueError):
        ahead.read(ASKED, fail)
    assert _take(ahead) is None
    ahead.read(ASKED, list)
    assert not ahead._kept


def test_the_oldest_make_room_and_small_ones_take_some() -> None:
    ahead: PagesAhead[int] = PagesAhead(4 * MIB)
    asked = [replace(ASKED, span=replace(SPAN, high=high)) for high in range(6)]
    for number, size in enumerate((1, MIB, 1, 1, 2 * MIB)):
        ahead.read(asked[number], partial(_made, number, size, asked[number]))
    assert [ahead.take(each, 0.0) for each in asked[:5]] == [None, None, 2, 3, 4]
    ahead.read(asked[5], lambda: _made(5, 9 * MIB))
    assert ahead.take(asked[5], 0.0) == 5
