"""Search beside a brute-force oracle over everything that was acknowledged, on generated data."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rbac.identities import IdentityKind
from server.audit_log.search.query import SearchPage, SearchQuery, Watermark
from server.storage.query import FieldEquality, FieldValue, Filters, Order
from server.storage.scan.engine import DuckScanEngine
from tests.contract.search_rig import (
    ALICE,
    BOB,
    DAY_MS,
    NODE,
    NOON,
    Kept,
    SearchRig,
    event_json,
    receipts_by_position,
    shown,
)

SEEDS = range(5)
TYPES = ("user.login", "session.start", "session.end", "db.query")
USERS = ("ann", "Bé", "")
SESSIONS = ("", "s-1", "s-2")
WORDS = ("Alpha", "beta", "GAMMA", "dé", "")
ROUNDS = 4
CHANGES = 4


def _raw(chance: random.Random) -> bytes:
    """An event of which little is of its own: times, uids and whole events come again."""
    time_ms = NOON + chance.choice((0, 1, 2, 5, 1000)) + DAY_MS * chance.choice((-1, 0, 0, 0, 1))
    members: dict[str, object] = {"n": chance.randrange(3), "word": chance.choice(WORDS)}
    if user := chance.choice(USERS):
        members["user"] = user
    if session := chance.choice(SESSIONS):
        members["sid"] = session
    if chance.random() < 0.03:
        members["long"] = "x" * chance.choice((70_000, 300_000))
    return event_json(f"u-{chance.randrange(40)}", time_ms, chance.choice(TYPES), **members)


def _grow(rig: SearchRig, chance: random.Random, earlier: list[bytes]) -> None:
    """Some events of some emitters, some of them emitted before by the same or another."""
    for by in chance.sample((ALICE, BOB, NODE), chance.randint(1, 3)):
        events = [
            chance.choice(earlier) if earlier and chance.random() < 0.3 else _raw(chance)
            for _ in range(chance.randint(1, 6))
        ]
        rig.emit(*dict.fromkeys(events), by=by)
        earlier += events


def _change(rig: SearchRig, chance: random.Random, earlier: list[bytes]) -> None:
    """Anything that may happen between two pages."""
    match chance.randrange(4):
        case 0:
            _grow(rig, chance, earlier)
        case 1:
            rig.cut()
        case 2:
            rig.deliver(chance.randint(1, 3))
        case _:
            pass


def _some(chance: random.Random, values: tuple[str, ...]) -> frozenset[str]:
    return frozenset(chance.sample(values, chance.randint(1, 2)))


def _filters(chance: random.Random, odds: float) -> Filters:
    """Every filter is there or not by chance."""

    def wanted() -> bool:
        return chance.random() < odds

    times = sorted(NOON + chance.choice((-DAY_MS, 0, 1, 3, 1001, DAY_MS)) for _ in range(2))
    fields: list[FieldEquality] = []
    if wanted():
        value: FieldValue = chance.choice((0, 1, 1.0, "1", None))
        fields.append(FieldEquality(("n",), value))
    if wanted():
        fields.append(FieldEquality(("word",), chance.choice(WORDS)))
    return Filters(
        from_ms=times[0] if wanted() else None,
        to_ms=times[1] if wanted() else None,
        types=_some(chance, TYPES) if wanted() else frozenset(),
        users=_some(chance, USERS) if wanted() else frozenset(),
        session_id=chance.choice(SESSIONS) if wanted() else "",
        uids=frozenset(f"u-{chance.randrange(40)}" for _ in range(12)) if wanted() else frozenset(),
        text=chance.choice(("alpha", "BETA", "gam", "é", "user.LOGIN", '"n":1')) if wanted() else "",
        fields=tuple(fields),
    )


def _query(chance: random.Random) -> SearchQuery:
    odds = chance.choice((0.0, 0.15, 0.3))
    return SearchQuery(
        _filters(chance, odds),
        emitters=frozenset(chance.sample(("alice", "bob", "node-1"), 2)) if chance.random() < odds else frozenset(),
        emitter_kinds=frozenset({chance.choice((IdentityKind.USER, IdentityKind.COMPONENT))})
        if chance.random() < odds
        else frozenset(),
        order=chance.choice(list(Order)),
        page_size=chance.choice((1, 2, 3, 7, 7, 20, 50, 1000)),
    )


def _fold(text: str) -> str:
    return text.encode().lower().decode()  # of bytes: A-Z only


def _passes(kept: Kept, query: SearchQuery) -> bool:
    """The filters said as plainly as can be, from the JSON."""
    filters, document = query.filters, json.loads(kept.event.data)
    text = _fold(kept.event.data.decode())
    needles = {_fold(filters.text), _fold(json.dumps(filters.text)[1:-1])}
    assert kept.emitter is not None
    return (
        (filters.from_ms is None or kept.event.time_ms >= filters.from_ms)
        and (filters.to_ms is None or kept.event.time_ms < filters.to_ms)
        and (not filters.types or document["event"] in filters.types)
        and (not filters.users or document.get("user", "") in filters.users)
        and (not filters.session_id or document.get("sid", "") == filters.session_id)
        and (not filters.uids or document["uid"] in filters.uids)
        and (not filters.text or any(needle in text for needle in needles))
        and all(
            type(document.get(item.path[0], ...)) is type(item.value) and document[item.path[0]] == item.value
            for item in filters.fields
        )
        and (not query.emitters or kept.emitter.name in query.emitters)
        and (not query.emitter_kinds or kept.emitter.kind in {kind.value for kind in query.emitter_kinds})
    )


def _answer(kept: list[Kept], query: SearchQuery) -> list[tuple[object, frozenset[object]]]:
    """What the search must show, in order, each row once with all of its receipts."""
    rows = receipts_by_position([item for item in kept if _passes(item, query)])
    descending = query.order is Order.NEWEST_FIRST
    return [(position, frozenset(rows[position])) for position in sorted(rows, reverse=descending)]


@pytest.fixture(params=SEEDS)
def chance(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(request.param)


def _walk(rig: SearchRig, query: SearchQuery, chance: random.Random, earlier: list[bytes]) -> Iterator[SearchPage]:
    """The pages, with changes between them; each page's token is used twice and must give the same page."""
    before = ""
    for number, page in enumerate(rig.pages(query)):
        again = rig.page(replace(query, page_token=before))
        if before:
            assert (again.rows, again.watermark) == (page.rows, page.watermark), "a token replayed gives the same page"
        before = page.next_page_token
        assert page.complete
        assert len(page.rows) <= query.page_size
        yield page
        if number < CHANGES:
            _change(rig, chance, earlier)


def test_every_walk_gives_what_was_acknowledged_before_it_once_and_in_order(
    tmp_path: Path, scan_engine: DuckScanEngine, chance: random.Random
) -> None:
    rig = SearchRig(tmp_path / "data", scan_engine)
    earlier: list[bytes] = []
    for round_ in range(ROUNDS):
        _grow(rig, chance, earlier)
        _change(rig, chance, earlier)
        for _ in range(3):
            query = _query(chance)
            expected = _answer(rig.kept, query)
            pages = list(_walk(rig, query, chance, earlier))
            assert shown(pages) == expected
            _check_again(rig, query, pages[0].watermark, expected)
        if round_ == ROUNDS // 2:
            rig = rig.reopened()
    rig.close()


def _check_again(rig: SearchRig, query: SearchQuery, watermark: Watermark, expected: object) -> None:
    """The first page's watermark given back gives the same rows, whatever happened since and how large pages are."""
    again = replace(query, watermark=watermark, page_size=1000)
    assert shown(list(rig.pages(again))) == expected


def test_rows_show_the_columns_and_the_json_that_was_emitted(
    tmp_path: Path, scan_engine: DuckScanEngine, chance: random.Random
) -> None:
    rig = SearchRig(tmp_path / "data", scan_engine)
    earlier: list[bytes] = []
    _grow(rig, chance, earlier)
    rig.cut()
    rig.deliver()
    _grow(rig, chance, earlier)
    events = {item.position: item.event for item in rig.kept}
    rows = [row for page in rig.pages(SearchQuery()) for row in page.rows]
    assert len(rows) == len(events)
    for row in rows:
        event = events[row.position]
        assert (row.type, row.session_id, row.user) == (event.type, event.session_id, event.user)
        assert (row.size, row.data) == (len(event.data), event.data)
    rig.close()
