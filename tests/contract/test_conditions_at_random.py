"""Formulas and events made at random, of few keys and values so that they meet: all three forms find the same ones.

EXTAUDIT_QUERIES says how many formulas: twice as many.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Iterator

import pytest

from server.audit_log.batch_codec import BatchRow, columns_of, encode
from server.storage.aws import value_tests as athena
from server.storage.matching import compile_filters
from server.storage.query import Filters, Order, ScanObject, ScanRequest
from server.storage.scan.engine import DuckScanEngine
from server.storage.value_tests import AllOf, AnyOf, Operator, RowCondition, TestValue, ValueTest
from tests.contract.athena_on_duckdb import AthenaOnDuckDb

EVENTS, FORMULAS = 300, 2 * int(os.environ.get("EXTAUDIT_QUERIES", "50"))
KEYS = ("a", "b", "a.b", "$x", "-")
TEXTS = ("", "x", "xy", "X", "é", "é😀", 'q"\\', "it's", "null", "true", "7", "[", "\x00", "\x7f\u2028", "x/y")
SCALARS: tuple[object, ...] = (*TEXTS, 7, -7, 0, 7.0, 1e3, 2**63 - 1, 2**63, -(2**63), True, False, None)


def some_value(chance: random.Random, depth: int) -> object:
    kind = chance.random()
    if depth and kind < 0.2:
        return {key: some_value(chance, depth - 1) for key in chance.sample(KEYS, 2)}
    if kind < 0.45:
        return [chance.choice(TEXTS) for _ in range(chance.randrange(4))]
    if depth and kind < 0.55:
        return [some_value(chance, depth - 1) for _ in range(chance.randrange(3))]
    return chance.choice(SCALARS)


def some_json(chance: random.Random) -> str:
    document = {key: some_value(chance, 2) for key in chance.sample(KEYS, 4)}
    text = json.dumps(
        document, ensure_ascii=chance.random() < 0.5, separators=chance.choice([(",", ":"), (", ", " : ")])
    )
    return text[:-1] if chance.random() < 0.03 else text


def some_test(chance: random.Random) -> ValueTest:
    operator = chance.choice(list(Operator))
    path = tuple(chance.choice(KEYS) for _ in range(chance.choice([1, 1, 1, 2])))
    # Athena can't be told of control characters; that it then refuses has its own test.
    texts = [text for text in TEXTS if "\x00" not in text]
    count = 1 if operator in (Operator.PREFIX, Operator.ALL_END) else chance.randrange(1, 4)
    values: list[TestValue] = list(chance.sample(texts, count))
    if operator is Operator.ONE_OF:
        values = chance.choice([values, [], [7, -7], [0], [True], [False]])
    return ValueTest(path, operator, tuple(values), chance.random() < 0.5)


def some_formula(chance: random.Random, depth: int = 3) -> RowCondition:
    if depth == 0 or chance.random() < 0.4:
        return some_test(chance)
    parts = tuple(some_formula(chance, depth - 1) for _ in range(chance.randrange(4)))
    return chance.choice([AllOf, AnyOf])(parts)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[BatchRow]:
    chance = random.Random(7)
    data = [some_json(chance).encode() for _ in range(EVENTS)]
    return [
        BatchRow(number + 1, number, "t", f"u{number}", "", "", each, hashlib.sha256(each).hexdigest())
        for number, each in enumerate(data)
    ]


@pytest.fixture(scope="module")
def stored(events: list[BatchRow], tmp_path_factory: pytest.TempPathFactory) -> ScanObject:
    path = tmp_path_factory.mktemp("random") / "o.parquet"
    encode(columns_of(events), path, log_id="l", first=1, last=EVENTS)
    return ScanObject("o", str(path))


@pytest.fixture(scope="module")
def athena_engine(events: list[BatchRow]) -> Iterator[AthenaOnDuckDb]:
    engine = AthenaOnDuckDb()
    engine.load([(row.uid, row.data.decode()) for row in events])
    yield engine
    engine.close()


@pytest.mark.parametrize("seed", range(5))
def test_the_three_forms_find_the_same_events(
    seed: int, events: list[BatchRow], stored: ScanObject, scan_engine: DuckScanEngine, athena_engine: AthenaOnDuckDb
) -> None:
    chance = random.Random(seed)
    some = 0
    for _ in range(FORMULAS // 5):
        formula = some_formula(chance)
        filters = Filters(condition=formula)
        matches = compile_filters(filters)
        wanted = {row.uid for row in events if matches(row.time_ms, "t", row.uid, "", "", row.data)}
        found = scan_engine.scan(ScanRequest([stored], filters, Order.NEWEST_FIRST, EVENTS))
        assert {row.position.uid for row in found.rows} == wanted, formula
        assert athena_engine.found(athena.row_condition(formula)) == wanted, formula
        some += 0 < len(wanted) < EVENTS
    assert some > FORMULAS / 5 / 3, "formulas and events meet"
