from __future__ import annotations

import random
from dataclasses import replace

import pytest

from server.audit_log.batch_codec import BatchRow
from server.storage.query import Filters, Order, Position, ScanObject, ScanRequest, ScanRow
from server.storage.scan.engine import DuckScanEngine
from tests.unit.scan.conftest import NOON, MakeObject, MakeRow

BOTH = pytest.mark.parametrize("order", list(Order))


def _objects(make_object: MakeObject, make_row: MakeRow) -> tuple[list[ScanObject], dict[str, list[BatchRow]]]:
    """Four objects full of rows that are alike in time, in time and uid, and in all of it."""
    rng = random.Random(7)
    rows = {
        key: [
            make_row(rng.randrange(6), rng.choice(["a", "B", "é", "\U0001f600"]), b"%d" % rng.randrange(3))
            for _ in range(60)
        ]
        for key in ("d", "a", "c", "b")
    }
    return [make_object(key, *some) for key, some in rows.items()], rows


def _expected(rows: dict[str, list[BatchRow]], order: Order) -> list[tuple[Position, str, int]]:
    every = []
    for key, some in rows.items():
        positions = sorted(Position(row.time_ms, row.uid, row.digest) for row in some)
        every += [(position, key, number) for number, position in enumerate(positions)]
    every.sort(key=lambda item: item[1:])
    every.sort(key=lambda item: item[0], reverse=order is Order.NEWEST_FIRST)
    return every


def _places(rows: list[ScanRow]) -> list[tuple[Position, str, int]]:
    return [(row.position, row.object_key, row.row_number) for row in rows]


@BOTH
@pytest.mark.parametrize("limit", [1, 7, 60, 239, 240, 500])
def test_rows_come_by_time_uid_digest_then_key_and_number(
    engine: DuckScanEngine, make_object: MakeObject, make_row: MakeRow, order: Order, limit: int
) -> None:
    objects, rows = _objects(make_object, make_row)
    result = engine.scan(ScanRequest(objects, Filters(), order, limit))
    assert _places(result.rows) == _expected(rows, order)[:limit]


@BOTH
@pytest.mark.parametrize("limit", [11, 60])
def test_pages_by_after_give_every_row_once(
    engine: DuckScanEngine, make_object: MakeObject, make_row: MakeRow, order: Order, limit: int
) -> None:
    objects, rows = _objects(make_object, make_row)
    found: list[tuple[Position, str, int]] = []
    request = ScanRequest(objects, Filters(), order, limit)
    while page := engine.scan(request).rows:
        found += _places(page)
        request = replace(request, after=found[-1])
    assert found == _expected(rows, order)


@BOTH
def test_beyond_leaves_out_every_row_of_its_key(
    engine: DuckScanEngine, make_object: MakeObject, make_row: MakeRow, order: Order
) -> None:
    objects, rows = _objects(make_object, make_row)
    expected = _expected(rows, order)
    for beyond in {item[0] for item in expected}:
        result = engine.scan(ScanRequest(objects, Filters(), order, 500, beyond=beyond))
        newest = order is Order.NEWEST_FIRST
        assert _places(result.rows) == [i for i in expected if (i[0] < beyond if newest else i[0] > beyond)]


def test_after_and_beyond_both_hold(engine: DuckScanEngine, make_object: MakeObject, make_row: MakeRow) -> None:
    objects, rows = _objects(make_object, make_row)
    expected = _expected(rows, Order.OLDEST_FIRST)
    beyond, after = expected[50][0], expected[90]
    for pair in ((beyond, after), (after[0], expected[20])):
        result = engine.scan(ScanRequest(objects, Filters(), Order.OLDEST_FIRST, 500, beyond=pair[0], after=pair[1]))
        assert _places(result.rows) == [i for i in expected if i[0] > pair[0] and i > pair[1]]


@BOTH
def test_only_listed_rows_are_given_back(
    engine: DuckScanEngine, make_object: MakeObject, make_row: MakeRow, order: Order
) -> None:
    objects, rows = _objects(make_object, make_row)
    listed = {"a": [0, 5, 59], "b": [], "c": None, "d": [1]}
    asked = [replace(item, rows=listed[item.key]) for item in objects]
    result = engine.scan(ScanRequest(asked, Filters(), order, 500))
    assert _places(result.rows) == [
        item for item in _expected(rows, order) if listed[item[1]] is None or item[2] in (listed[item[1]] or [])
    ]


def test_json_up_to_inline_bytes_is_given_back_and_size_and_digest_always(
    engine: DuckScanEngine, make_object: MakeObject, make_row: MakeRow
) -> None:
    rows = [make_row(0, data="é".encode() * 5), make_row(1, data=b"x" * 11)]
    request = ScanRequest([make_object("o", *rows)], Filters(), Order.OLDEST_FIRST, 9, inline_bytes=10)
    found = engine.scan(request).rows
    assert [(row.size, row.data) for row in found] == [(10, "é".encode() * 5), (11, None)]
    assert [row.position.digest for row in found] == [row.digest for row in rows]


def test_a_row_has_all_its_columns(engine: DuckScanEngine, make_object: MakeObject, make_row: MakeRow) -> None:
    row = make_row(5, "v", b'{"a":1}', type_="user.login")
    (found,) = engine.scan(ScanRequest([make_object("o", row)], Filters(), Order.NEWEST_FIRST, 9)).rows
    assert found == ScanRow(Position(NOON + 5, "v", row.digest), "o", 0, "user.login", "s", "alice", 7, b'{"a":1}')


def test_fetch_gives_the_whole_json_of_a_row(
    engine: DuckScanEngine, make_object: MakeObject, make_row: MakeRow
) -> None:
    item = make_object("o", *(make_row(number, data=b"%d" % number * 70_000) for number in range(3)))
    assert engine.fetch(item.path, 1) == b"1" * 70_000
