"""Literals: every value comes back from the SQL as it went in, is one literal, and none is longer than Athena takes."""

from __future__ import annotations

import duckdb
import pytest

from server.storage.aws.athena.literals import MOST_CHARACTERS, day, text, timestamp
from server.storage.finding import FinderUnsuited
from tests.sandbox.athena_sql import MACROS, check_parameter, read_query, to_duckdb, with_parameters

TEXTS = [
    "",
    "plain",
    "it's",
    "''",
    "'",
    "\\",
    "\\'",
    "'; DROP TABLE events; --",
    "' OR 1=1 --",
    "' OR ''='",
    "?",
    "%_",
    "a\nb\r\t\x00\x7f",
    "é😀\u2028",
    '"',
    "/* x */",
    "$$x$$",
    "U&'\\0041'",
    "NULL",
]


@pytest.mark.parametrize("value", TEXTS, ids=repr)
def test_a_text_comes_back_as_it_went_in(value: str) -> None:
    clause = text(value, "it")
    for parameter in clause.parameters:
        check_parameter(parameter)
    sql = with_parameters(f"SELECT {clause.sql}, 1", list(clause.parameters))
    database = duckdb.connect(":memory:")
    database.execute(MACROS)
    assert database.execute(to_duckdb(read_query(sql))).fetchall() == [(value, 1)]


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("x" * (MOST_CHARACTERS - 2), True),
        ("x" * (MOST_CHARACTERS - 1), False),
        ("'" * (MOST_CHARACTERS // 2 - 1), True),
        ("'" * (MOST_CHARACTERS // 2), False),
        ("😀" * (MOST_CHARACTERS // 2 - 1), True),
        ("😀" * (MOST_CHARACTERS // 2), False),
        ("\n" + "x" * (MOST_CHARACTERS // 2 - 2), True),
        ("\n" + "x" * (MOST_CHARACTERS // 2 - 1), False),
    ],
)
def test_what_is_longer_than_a_parameter_is_refused_by_name(value: str, fits: bool) -> None:
    if fits:
        assert len(text(value, "the text").parameters[0].encode("utf-16-le")) == 2 * MOST_CHARACTERS
        return
    with pytest.raises(FinderUnsuited, match=r"^the text is longer than Athena takes in a parameter$"):
        text(value, "the text")


def test_what_is_no_unicode_is_refused() -> None:
    with pytest.raises(FinderUnsuited, match="isn't valid Unicode"):
        text("\ud800", "it")


@pytest.mark.parametrize(
    ("time_ms", "literal"),
    [
        (0, "TIMESTAMP '1970-01-01 00:00:00.000'"),
        (-1, "TIMESTAMP '1969-12-31 23:59:59.999'"),
        (1_795_003_200_007, "TIMESTAMP '2026-11-18 12:00:00.007'"),
        (-62_135_596_800_000, "TIMESTAMP '0001-01-01 00:00:00.000'"),
        (253_402_300_799_999, "TIMESTAMP '9999-12-31 23:59:59.999'"),
    ],
)
def test_times_have_milliseconds_and_four_digits_of_years(time_ms: int, literal: str) -> None:
    assert timestamp(time_ms).parameters == (literal,)
    check_parameter(literal)


def test_a_date_is_a_date_and_nothing_else() -> None:
    assert day("2026-01-02").parameters == ("DATE '2026-01-02'",)
    for wrong in ("2026-1-2 ", "2026-01-02'", "x", "2026-02-30"):
        with pytest.raises(ValueError):
            day(wrong)
