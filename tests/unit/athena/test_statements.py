"""The query: what it says for each filter, that no value is in its text, and that names are only those of the rules."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest
from sqlglot import exp

from server.storage.aws.athena.conditions import filter_clauses
from server.storage.aws.athena.statements import TableName, statement
from server.storage.finding import FinderUnsuited, FindRequest
from server.storage.query import FieldEquality, Filters, Order
from server.storage.value_tests import AllOf, Operator, ValueTest
from tests.sandbox.athena_sql import check_parameter, read_query, with_parameters

TABLE = TableName("db", "events")
URL = "s3://bucket/events/"
ASKED = FindRequest(Filters(), "2026-01-01", "2026-01-31", Order.NEWEST_FIRST, "alice")
EVIL = [
    "'; DROP TABLE events; --",
    "' OR 1=1 --",
    "\\' OR true --",
    "x') OR (uid > '",
    "?",
    '"',
    "/*",
    "\n--",
    "%",
    "\x00",
]


def sql_of(filters: Filters) -> list[tuple[str, tuple[str, ...]]]:
    return [(clause.sql, clause.parameters) for clause in filter_clauses(filters)]


FOLDED = "translate(event_data, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')"
A = "json_format(json_extract(event_data, ?))"
PATH = """'$["a"]["b"]'"""


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), []),
        (Filters(from_ms=0), [("event_time >= ?", ("TIMESTAMP '1970-01-01 00:00:00.000'",))]),
        (Filters(to_ms=1), [("event_time < ?", ("TIMESTAMP '1970-01-01 00:00:00.001'",))]),
        (Filters(from_ms=-(2**62), to_ms=2**62), []),
        (Filters(from_ms=2**62), [("false", ())]),
        (Filters(to_ms=-(2**62)), [("false", ())]),
        (Filters(types=frozenset({"b", "a"})), [("event_type IN (?, ?)", ("'a'", "'b'"))]),
        (Filters(users=frozenset({"", "O'N"})), [('"user" IN (?, ?)', ("''", "'O''N'"))]),
        (Filters(uids=frozenset({"u"})), [("uid IN (?)", ("'u'",))]),
        (Filters(session_id="s"), [("session_id = ?", ("'s'",))]),
        (Filters(text="Ab"), [(f"(strpos({FOLDED}, ?) > 0)", ("'ab'",))]),
        (
            Filters(text="é"),
            [
                (
                    f"(strpos({FOLDED}, ?) > 0) OR (strpos({FOLDED}, from_utf8(from_hex(?))) > 0)",
                    ("'é'", "'5C7530306539'"),
                )
            ],
        ),
        (Filters(fields=(FieldEquality(("a", "b"), 5),)), [(f"TRY({A} = ?)", (PATH, "'5'"))]),
        (Filters(fields=(FieldEquality(("a", "b"), True),)), [(f"TRY({A} = ?)", (PATH, "'true'"))]),
        (Filters(fields=(FieldEquality(("a", "b"), None),)), [(f"TRY({A} = ?)", (PATH, "'null'"))]),
        (
            Filters(fields=(FieldEquality(("a", "b"), "it's"),)),
            [(f"TRY(substr({A}, 1, 1) = '\"' AND json_extract_scalar(event_data, ?) = ?)", (PATH, PATH, "'it''s'"))],
        ),
        (Filters(fields=(FieldEquality(("a",), 2**63),)), [("TRY(false)", ())]),
        (Filters(fields=(FieldEquality(("a",), float("nan")),)), [("TRY(false)", ())]),
        (Filters(fields=(FieldEquality((), 1),)), [("TRY(false)", ())]),
    ],
)
def test_each_filter(filters: Filters, expected: list[tuple[str, tuple[str, ...]]]) -> None:
    assert sql_of(filters) == expected


def test_the_whole_query_newest_first() -> None:
    clause = statement(TABLE, replace(ASKED, filters=Filters(session_id="s"), after=(7, "2026-01-02/x.parquet")), URL)
    assert clause.sql == (
        'SELECT "$path" AS object, min(event_time) AS first_time, max(event_time) AS last_time, count(*) AS rows_found '
        'FROM "db"."events" WHERE (event_date BETWEEN ? AND ?) AND (session_id = ?) GROUP BY "$path" '
        'HAVING max(event_time) <= ? AND (max(event_time) < ? OR "$path" < ?) '
        'ORDER BY max(event_time) DESC, "$path" DESC LIMIT 10000'
    )
    moment = "TIMESTAMP '1970-01-01 00:00:00.007'"
    name = "'s3://bucket/events/2026-01-02/x.parquet'"
    assert clause.parameters == ("DATE '2026-01-01'", "DATE '2026-01-31'", "'s'", moment, moment, name)


def test_the_whole_query_oldest_first() -> None:
    clause = statement(TABLE, replace(ASKED, order=Order.OLDEST_FIRST, limit=3, after=(7, "x")), URL)
    assert clause.sql.endswith(
        'HAVING min(event_time) >= ? AND (min(event_time) > ? OR "$path" > ?) '
        'ORDER BY min(event_time) ASC, "$path" ASC LIMIT 3'
    )


def hostile(value: str) -> list[Filters]:
    """A filter of each kind with this value."""
    return [
        Filters(types=frozenset({value})),
        Filters(users=frozenset({value})),
        Filters(uids=frozenset({value})),
        Filters(session_id=value),
        Filters(text=value),
        Filters(fields=(FieldEquality(("a",), value),)),
        Filters(condition=ValueTest(("a",), Operator.PREFIX, (value,), holds=True)),
        Filters(condition=ValueTest(("a",), Operator.HAS_ANY, (value, "x"), holds=False)),
        Filters(condition=ValueTest(("a",), Operator.ALL_END, (value,), holds=True)),
    ]


@pytest.mark.parametrize(("value", "index"), list(itertools.product(EVIL, range(9))))
def test_no_value_changes_what_is_asked(value: str, index: int) -> None:
    """With each value the query has the shape that it has with a harmless one, and each parameter is one literal."""
    try:
        clause = statement(TABLE, replace(ASKED, filters=hostile(value)[index]), URL)
    except FinderUnsuited:
        assert any(ord(each) < 32 for each in value)
        return
    if index < 6:
        assert value not in clause.sql or value in ("?", '"', "%")
        texts = re.findall("'[^']*'", clause.sql)
        assert set(texts) <= {f"'{'ABCDEFGHIJKLMNOPQRSTUVWXYZ'}'", f"'{'abcdefghijklmnopqrstuvwxyz'}'", "'\"'"}
    for parameter in clause.parameters:
        check_parameter(parameter)
    harmless = statement(TABLE, replace(ASKED, filters=hostile("harmless")[index]), URL)
    assert shape(clause.sql, clause.parameters) == shape(harmless.sql, harmless.parameters)


def shape(sql: str, parameters: tuple[str, ...]) -> str:
    """The query's tree, every literal made the same, and the forms that a text is looked for in counted as one."""
    tree = read_query(with_parameters(sql, list(parameters)))
    for node in list(tree.find_all(exp.Literal)):
        node.replace(exp.Literal.string("x"))
    found = re.sub(r"ATHENA_FROM_UTF8\((FROM_HEX|UNHEX)\('x'\)\)", "'x'", tree.sql())
    form = r"\(STR_POSITION\(TRANSLATE\(event_data, 'x', 'x'\), 'x'\) > 'x'\)"
    return re.sub(f"({form})( OR {form})+", r"\1", found)


@pytest.mark.parametrize("key", ["", "0", "12", 'a"b', "a\\b", "é", "a\nb", "]", "[0]", "*", "a'b", "$", "."])
def test_a_key_that_a_path_cant_be_sure_to_mean_is_refused(key: str) -> None:
    asked = Filters(fields=(FieldEquality(("a", key), 1),))
    if key in ("]", "[0]", "*", "a'b", "$", "."):
        [clause] = filter_clauses(asked)
        assert clause.parameters[0] == '\'$["a"]["' + key.replace("'", "''") + "\"]'"
        return
    with pytest.raises(FinderUnsuited, match="the path of a field"):
        filter_clauses(asked)


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        (Filters(types=frozenset({"x" * 1023})), "a type is longer"),
        (Filters(users=frozenset({"x" * 1023})), "a user is longer"),
        (Filters(uids=frozenset({"'" * 512})), "a uid is longer"),
        (Filters(session_id="x" * 1023), "the session id is longer"),
        (Filters(text="é" * 400), "the text, in a form that JSON may have it in, is longer"),
        (Filters(fields=(FieldEquality(("a",), "x" * 1023),)), "the value of a field is longer"),
        (Filters(fields=(FieldEquality(("x" * 1023,), 1),)), "the path of a field is longer"),
        (
            Filters(condition=ValueTest(("a",), Operator.PREFIX, ("\x00",), holds=True)),
            "conditions of the caller's roles",
        ),
    ],
)
def test_what_cant_be_put_to_athena_is_refused_by_name(filters: Filters, words: str) -> None:
    with pytest.raises(FinderUnsuited, match=words):
        filter_clauses(filters)


def test_conditions_that_would_make_a_query_larger_than_athena_takes_are_refused() -> None:
    many = tuple(ValueTest(("a",), Operator.PREFIX, ("x" * 500,), holds=True) for _ in range(150))
    asked = replace(ASKED, filters=Filters(condition=AllOf(many)))
    assert len(statement(TABLE, asked, URL).sql) < 262_144, "as many characters as Athena takes"
    with pytest.raises(FinderUnsuited):
        statement(TABLE, replace(asked, filters=Filters(condition=AllOf(many * 3))), URL)


@pytest.mark.parametrize("name", ['e"; DROP', "Events", "e-1", "", "é", "a" * 256, "a.b", "e\n"])
def test_only_names_that_the_rules_take_get_into_a_query(name: str) -> None:
    for table in (TableName(name, "events"), TableName("db", name)):
        with pytest.raises(FinderUnsuited, match="a name that the rules"):
            statement(table, ASKED, URL)
