"""A condition of a role has three forms: in Python, in DuckDB and in Athena; one table of cases holds them equal.

Each case says what the condition is of an event: true, false, or neither, where it depends on a value that isn't there
or has another type. An allow needs it to be true and a deny spares only what it is false of, so "neither" hides the
event both ways.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from rbac.binding import Binding
from rbac.condition_grammar import parse_condition
from rbac.conditions import Root
from rbac.formulas import Formula
from rbac.identities import Identity, IdentityKind
from server.audit_log.access import Access
from server.audit_log.batch_codec import BatchRow, columns_of, encode
from server.audit_log.search.rights import condition_of
from server.storage.aws import value_tests as athena
from server.storage.matching import compile_filters
from server.storage.ports import ConditionUnsupported
from server.storage.query import Filters, Order, ScanObject, ScanRequest
from server.storage.scan import value_tests as duckdb
from server.storage.scan.engine import DuckScanEngine
from server.storage.value_tests import AllOf, AnyOf, Operator, RowCondition, ValueTest
from tests.contract.athena_on_duckdb import AthenaOnDuckDb

USER = Identity(
    IdentityKind.USER,
    "al'ice",
    frozenset({"dev", "ops"}),
    traits=(("é", ("ü",)), ("gone", ()), ("odd", ('q"b\\', "x'y; --", "$[0]", "?")), ("team", ("red", "blue"))),
)
TRUE, FALSE, NEITHER = True, False, None
SOME, MANY = ("contains(set('v" + "', 'v".join(map(str, range(count))) + "'), event.v)" for count in (12, 40))
NOT_TEXTS = (
    "null",
    "7",
    "7.5",
    "true",
    "{}",
    '{"x":"x"}',
    "[7]",
    "[null]",
    '["x",null]',
    '["x",7]',
    '[["x"]]',
    '["x",{}]',
)

ONE = [
    # == of texts
    ("event.v == 'x'", '{"v":"x"}', TRUE),
    ("event.v == 'x'", '{"v":"y"}', FALSE),
    ("event.v == 'x'", '{"v":"X"}', FALSE),
    ("event.v == 'x'", '{"v":""}', FALSE),
    ("event.v == ''", '{"v":""}', TRUE),
    ("event.v == 'x'", '{"v":["x"]}', NEITHER),
    ("event.v == 'é/'", '{"v":"\\u00e9\\/"}', TRUE),
    ("event.v == 'é/'", '{"v":"\\u00e8\\/"}', FALSE),
    ("event.v == 'a\\\"b\\\\'", '{"v":"a\\"b\\\\"}', TRUE),
    ("event.v == \"it's\"", '{"v":"it\'s"}', TRUE),
    ("event.v == '😀'", '{"v":"\\ud83d\\ude00"}', TRUE),
    ("event.v == 'x'", '{"v":"x\\u0000"}', FALSE),
    ("event.v == '7'", '{"v":7}', NEITHER),
    ("event.v == 'null'", '{"v":null}', NEITHER),
    ("event.v == 'true'", '{"v":true}', NEITHER),
    ("event.v == user.metadata.name", '{"v":"al\'ice"}', TRUE),
    ("user.metadata.name != event.v", '{"v":"al\'ice"}', FALSE),
    ("event.v != 'x'", '{"v":"y"}', TRUE),
    ("event.v != 'x'", "{}", NEITHER),
    ("event.v == 'x'", '{"v":"x","v":"y"}', TRUE),
    ("event.v == 'y'", '{"v":"x","v":"y"}', FALSE),
    # == of numbers and booleans
    ("event.v == 7", '{"v":7}', TRUE),
    ("event.v == 7", '{"v":8}', FALSE),
    ("event.v == -7", '{"v":-7}', TRUE),
    ("event.v == 0", '{"v":-0}', TRUE),
    ("event.v != 7", '{"v":8}', TRUE),
    ("event.v == 7", '{"v":7.0}', NEITHER),
    ("event.v == 7", '{"v":7e0}', NEITHER),
    ("event.v == 7", '{"v":"7"}', NEITHER),
    ("event.v == 1", '{"v":true}', NEITHER),
    ("event.v == 7", '{"v":null}', NEITHER),
    ("event.v == 7", '{"v":[7]}', NEITHER),
    ("event.v == 7", '{"v":9223372036854775807}', FALSE),
    ("event.v == 7", '{"v":9223372036854775808}', NEITHER),
    ("event.v == 7", '{"v":-9223372036854775808}', FALSE),
    ("event.v == true", '{"v":true}', TRUE),
    ("event.v == true", '{"v":false}', FALSE),
    ("event.v == false", '{"v":false}', TRUE),
    ("event.v == true", '{"v":"true"}', NEITHER),
    ("event.v == true", '{"v":1}', NEITHER),
    ("event.v == false", '{"v":null}', NEITHER),
    # == of lists
    ("event.v == user.spec.roles", '{"v":["ops","dev","ops"]}', TRUE),
    ("event.v == user.spec.roles", '{"v":["ops"]}', FALSE),
    ("event.v == user.spec.roles", '{"v":["ops","dev","x"]}', FALSE),
    ("event.v == set('x')", '{"v":"x"}', TRUE),
    ("event.v == set('x')", '{"v":"y"}', FALSE),
    # has_prefix
    ("has_prefix(event.v, 'ab')", '{"v":"abc"}', TRUE),
    ("has_prefix(event.v, 'ab')", '{"v":"ab"}', TRUE),
    ("has_prefix(event.v, 'ab')", '{"v":"a"}', FALSE),
    ("has_prefix(event.v, 'ab')", '{"v":"xab"}', FALSE),
    ("has_prefix(event.v, 'a%')", '{"v":"abc"}', FALSE),
    ("has_prefix(event.v, '')", '{"v":""}', TRUE),
    ("has_prefix(event.v, '\"')", '{"v":"x"}', FALSE),
    ("has_prefix(event.v, '\"')", '{"v":"\\"x"}', TRUE),
    ("has_prefix(event.v, 'é')", '{"v":"\\u00e9t\\u00e9"}', TRUE),
    ("has_prefix(event.v, 'x')", '{"v":["x"]}', NEITHER),
    # contains
    ("contains(event.v, 'x')", '{"v":["y","x"]}', TRUE),
    ("contains(event.v, 'x')", '{"v":["y","xx"]}', FALSE),
    ("contains(event.v, 'x')", '{"v":[]}', FALSE),
    ("contains(event.v, 'x')", '{"v":"x"}', TRUE),
    ("contains(event.v, 'x')", '{"v":"xx"}', FALSE),
    ("contains(event.v, 'é\"')", '{"v":["\\u00e9\\""]}', TRUE),
    ("contains(event.v, user.metadata.name)", '{"v":["al\'ice"]}', TRUE),
    ("contains(user.spec.roles, event.v)", '{"v":"ops"}', TRUE),
    ("contains(user.spec.roles, event.v)", '{"v":"op"}', FALSE),
    ("contains(user.spec.roles, event.v)", '{"v":["ops"]}', NEITHER),
    ("contains(user.spec.traits.odd, event.v)", '{"v":"q\\"b\\\\"}', TRUE),
    ("contains(user.spec.traits.odd, event.v)", '{"v":"x\'y; --"}', TRUE),
    ("contains(user.spec.traits.odd, event.v)", '{"v":"$[0]"}', TRUE),
    ("contains(user.spec.traits.odd, event.v)", '{"v":"?"}', TRUE),
    ("contains(user.spec.traits.odd, event.v)", '{"v":"q"}', FALSE),
    ("contains(user.spec.traits['é'], event.v)", '{"v":"ü"}', FALSE),
    (SOME, '{"v":"v7"}', TRUE),
    (SOME, '{"v":"v77","w":"v7"}', FALSE),
    (MANY, '{"v":"v39"}', TRUE),
    (MANY, '{"v":"\\u00763\\u0039"}', TRUE),
    (MANY, '{"v":"v"}', FALSE),
    (MANY, '{"v":39}', NEITHER),
    (MANY, '{"v":null}', NEITHER),
    (MANY, '{"w":"v39"}', NEITHER),
    # contains_any, contains_all
    ("contains_any(event.v, user.spec.roles)", '{"v":["x","ops"]}', TRUE),
    ("contains_any(event.v, user.spec.roles)", '{"v":["x"]}', FALSE),
    ("contains_any(event.v, user.spec.roles)", '{"v":[]}', FALSE),
    ("contains_any(user.spec.roles, event.v)", '{"v":["x","ops"]}', TRUE),
    ("contains_all(event.v, user.spec.roles)", '{"v":["x","ops","dev"]}', TRUE),
    ("contains_all(event.v, user.spec.roles)", '{"v":["ops","x"]}', FALSE),
    ("contains_all(event.v, user.spec.roles)", '{"v":[]}', FALSE),
    ("contains_all(event.v, user.spec.roles)", '{"v":"ops"}', FALSE),
    ("contains_all(event.v, set('ops'))", '{"v":"ops"}', TRUE),
    ("contains_all(user.spec.roles, event.v)", '{"v":["ops"]}', TRUE),
    ("contains_all(user.spec.roles, event.v)", '{"v":["ops","x"]}', FALSE),
    ("contains_all(user.spec.roles, event.v)", '{"v":[]}', NEITHER),
    # all_equal, is_subset, all_end_with
    ("all_equal(event.v, 'x')", '{"v":["x","x"]}', TRUE),
    ("all_equal(event.v, 'x')", '{"v":["x","y"]}', FALSE),
    ("all_equal(event.v, 'x')", '{"v":"x"}', TRUE),
    ("all_equal(event.v, 'x')", '{"v":[]}', NEITHER),
    ("all_equal(user.spec.traits.team, event.v)", '{"v":"red"}', FALSE),
    ("all_equal(set('x', 'x'), event.v)", '{"v":"x"}', TRUE),
    ("is_subset(event.v, user.spec.roles)", '{"v":["ops","ops"]}', TRUE),
    ("is_subset(event.v, user.spec.roles)", '{"v":["ops","x"]}', FALSE),
    ("is_subset(event.v, user.spec.roles)", '{"v":[]}', NEITHER),
    ("is_subset(event.v, 'a', 'b')", '{"v":"b"}', TRUE),
    ("is_subset(user.spec.roles, event.v)", '{"v":["ops","x","dev"]}', TRUE),
    ("is_subset(user.spec.roles, event.v)", '{"v":["ops"]}', FALSE),
    ("all_end_with(event.v, '.eu')", '{"v":["a.eu","b.eu"]}', TRUE),
    ("all_end_with(event.v, '.eu')", '{"v":["a.eu","b.us"]}', FALSE),
    ("all_end_with(event.v, '.eu')", '{"v":["eu"]}', FALSE),
    ("all_end_with(event.v, '.eu')", '{"v":".eu"}', TRUE),
    ("all_end_with(event.v, '.eu')", '{"v":[]}', NEITHER),
    ("all_end_with(event.v, '')", '{"v":["","x"]}', TRUE),
    ("all_end_with(event.v, 'é😀')", '{"v":["x\\u00e9\\ud83d\\ude00"]}', TRUE),
    ("all_end_with(event.v, 'é😀')", '{"v":["\\ud83d\\ude00"]}', FALSE),
    ("all_end_with(event.v, \"'x\")", '{"v":["\'x"]}', TRUE),
    # paths
    ("event.a.b == 'x'", '{"a":{"b":"x"}}', TRUE),
    ("event.a.b == 'x'", '{"a.b":"x"}', NEITHER),
    ("event['a.b'] == 'x'", '{"a.b":"x"}', TRUE),
    ("event['a b']['$c'] == 'x'", '{"a b":{"$c":"x"}}', TRUE),
    ("event['a/b~c'] == 'x'", '{"a/b~c":"x"}', TRUE),
    ("event['*'] == 'x'", '{"a":"x"}', NEITHER),
    ("event['a[0]'] == 'x'", '{"a":["x"]}', NEITHER),
    ("event['a[0]'] == 'x'", '{"a[0]":"x"}', TRUE),
    ("event['-'] == 'x'", '{"a":["x"],"-":"x"}', TRUE),
    ("event.a['-'] == 'x'", '{"a":["x"]}', NEITHER),
    ("event.a.b == 'x'", '{"a":[{"b":"x"}]}', NEITHER),
    ("event.a.b == 'x'", '{"a":"b"}', NEITHER),
    ("event.a.b == 'x'", '{"a":null}', NEITHER),
    ("event.V == 'x'", '{"v":"x"}', NEITHER),
    ("event.a.b == 'x'", '{"a":{"c":"x"},"a":{"b":"x"}}', NEITHER),
    # what isn't JSON has no values
    ("event.v == 'x'", "not json", NEITHER),
    ("event.v == 'x'", '{"v":"x"', NEITHER),
    ("event.v == 'x'", '["v","x"]', NEITHER),
    ("event.v == 'x'", '"x"', NEITHER),
    ("event.v == 'x'", "", NEITHER),
    ("event.v == 'x'", '{"v":"x","w":"\\ud800"}', NEITHER),
    ("contains(event.v, 'x')", "not json", NEITHER),
    # and, or, not
    ("event.v == 'x' && event.w == 'y'", '{"v":"x","w":"y"}', TRUE),
    ("event.v == 'x' && event.w == 'y'", '{"v":"x"}', NEITHER),
    ("event.v == 'x' && event.w == 'y'", '{"v":"z"}', FALSE),
    ("event.v == 'x' || event.w == 'y'", '{"v":"x"}', TRUE),
    ("event.v == 'x' || event.w == 'y'", '{"v":"z"}', NEITHER),
    ("event.v == 'x' || event.w == 'y'", '{"v":"z","w":"z"}', FALSE),
    ("!(event.v == 'x' || event.w == 'y')", '{"v":"z"}', NEITHER),
    ("!(event.v == 'x' && event.w == 'y')", '{"v":"z"}', TRUE),
    ("!!!contains(event.v, 'x')", '{"v":["y"]}', TRUE),
    ("!!!contains(event.v, 'x')", "{}", NEITHER),
    ("event.v == 'x' || event.v != 'x'", "{}", NEITHER),
    ("event.v == 'x' && event.v != 'x'", "{}", NEITHER),
    ("event.v == 'x' || user.metadata.name == \"al'ice\"", "{}", TRUE),
    ("event.v == 'x' && user.metadata.name == 'bob'", "{}", FALSE),
    ("event.v == 'x' || contains(user.spec.traits.gone, 'x')", '{"v":"x"}', TRUE),
    ("event.v == 'x' || contains(user.spec.traits.gone, 'x')", '{"v":"y"}', NEITHER),
    ("session.v == 'x' || event.v == 'x'", '{"v":"y"}', NEITHER),
]  # fmt: skip

OF_EACH = [
    "event.v == 'x'", "event.v != 'x'", "has_prefix(event.v, 'x')", "contains(event.v, 'x')", "!contains(event.v, 'x')",
    "contains_any(event.v, set('x', 'y'))", "contains_all(event.v, set('x'))", "contains_all(set('x'), event.v)",
    "all_equal(event.v, 'x')", "all_end_with(event.v, 'x')", "!all_end_with(event.v, 'x')", "is_subset(event.v, 'x')",
    "is_subset(set('x'), event.v)", "contains(set('x', 'y'), event.v)", "all_equal(set('x', 'y'), event.v)",
    "event.v == set('x')", "event.v != set('x')",
]  # fmt: skip
WRONG = [(where, f'{{"v":{value}}}', NEITHER) for where in OF_EACH for value in NOT_TEXTS]
ABSENT = [(where, data, NEITHER) for where in OF_EACH for data in ("{}", '{"w":{"v":"x"}}', "[]", "null")]
CASES = [case for case in ONE if "['é']" not in case[0]] + WRONG + ABSENT


@pytest.fixture(scope="module")
def athena_engine() -> Iterator[AthenaOnDuckDb]:
    engine = AthenaOnDuckDb()
    yield engine
    engine.close()


class Forms:
    """The three forms, asked for one event."""

    def __init__(self, engine: DuckScanEngine, athena_engine: AthenaOnDuckDb, folder: Path) -> None:
        self._engine = engine
        self._athena = athena_engine
        self._path = folder / "o.parquet"

    def ask(self, condition: RowCondition | None, data: str) -> dict[str, bool]:
        row = BatchRow(1, 0, "t", "u", "", "", data.encode(), hashlib.sha256(data.encode()).hexdigest())
        filters = Filters(condition=condition)
        encode(columns_of([row]), self._path, log_id="l", first=1, last=1)
        found = self._engine.scan(ScanRequest([ScanObject("o", str(self._path))], filters, Order.NEWEST_FIRST, 10))
        assert found.unreadable == []
        return {
            "python": compile_filters(filters)(0, "t", "u", "", "", data.encode()),
            "duckdb": len(found.rows) == 1,
            "athena": condition is None or self._athena.holds(athena.row_condition(condition), data),
        }


@pytest.fixture
def forms(scan_engine: DuckScanEngine, athena_engine: AthenaOnDuckDb, tmp_path: Path) -> Forms:
    return Forms(scan_engine, athena_engine, tmp_path)


def row_condition(formula: Formula) -> RowCondition | None:
    return condition_of(Access(USER, "peer", "id", formula))


def everywhere(answer: bool) -> dict[str, bool]:
    return {"python": answer, "duckdb": answer, "athena": answer}


@pytest.mark.parametrize(("where", "data", "truth"), CASES)
def test_every_form_says_the_same(forms: Forms, where: str, data: str, truth: bool | None) -> None:
    condition, binding = parse_condition(where), Binding(USER, Root.EVENT)
    assert forms.ask(row_condition(binding.certainly(condition)), data) == everywhere(truth is TRUE)
    assert forms.ask(row_condition(binding.certainly_not(condition)), data) == everywhere(truth is FALSE)


def test_conditions_go_with_the_other_filters(forms: Forms) -> None:
    condition = ValueTest(("v",), Operator.ONE_OF, ("x",), holds=True)
    for text, wanted in (("x", True), ("z", False)):
        matches = compile_filters(Filters(text=text, condition=condition))
        assert matches(0, "t", "u", "", "", b'{"v":"x"}') is wanted


def test_formulas_without_parts_are_always_and_never(forms: Forms) -> None:
    for data in ("{}", "not json"):
        assert forms.ask(AnyOf(), data) == everywhere(False)
        assert forms.ask(AllOf(), data) == everywhere(True)
        assert forms.ask(AnyOf((AllOf(), AnyOf())), data) == everywhere(True)


@pytest.mark.parametrize(("holds", "extractions"), [(True, 1), (False, 2)])
@pytest.mark.parametrize("of_type", [str, int])
def test_duckdb_parses_json_once_for_all_values(of_type: type[str | int], holds: bool, extractions: int) -> None:
    """Sixty times over 40,000 events, it didn't fit into 512 MB."""
    values = tuple(sorted(of_type(number) for number in range(100)))
    sql = duckdb.row_condition(ValueTest(("v",), Operator.ONE_OF, values, holds)).sql
    assert sql.count("json_extract(") == extractions + (of_type is int and not holds)


@pytest.mark.parametrize("value", ["a\x00b", "a\nb", "\ud800"])
def test_what_athena_can_not_be_told_is_refused(value: str) -> None:
    test = ValueTest(("v",), Operator.ONE_OF, (value,), holds=True)
    with pytest.raises(ConditionUnsupported):
        athena.row_condition(AnyOf((test, test)))


def test_a_condition_larger_than_athenas_queries_is_refused() -> None:
    test = ValueTest(("v",), Operator.HAS_ANY, tuple(f"{n:0300}" for n in range(450)), holds=True)
    with pytest.raises(ConditionUnsupported):
        athena.row_condition(test)


@pytest.mark.parametrize("text", ["", "'", "''", "a'b''c", "' OR true --", "\\'", "é😀"])
def test_a_literal_stands_for_its_text_and_ends_where_it_should(athena_engine: AthenaOnDuckDb, text: str) -> None:
    assert athena_engine.holds(f"event_data = {athena.literal(text)}", text)
    assert not athena_engine.holds(f"event_data = {athena.literal(text)}", text + "x")
