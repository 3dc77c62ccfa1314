"""Each filter finds in Athena's SQL what it finds in Python, over values and texts easily taken for another."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from server.storage.aws.athena.conditions import filter_clauses
from server.storage.aws.athena.literals import joined
from server.storage.matching import compile_filters
from server.storage.query import FieldEquality, Filters
from tests.contract.athena_on_duckdb import AthenaOnDuckDb
from tests.contract.test_conditions_at_random import SCALARS, TEXTS
from tests.sandbox.athena_sql import with_parameters

VALUES: list[object] = [
    *SCALARS, "7.0", "1000.0", "true ", "null ", 1.5, "1.5", -0.0, 1e300, 5e-324, 2**64, 1e-7, "50%_off", "\u212a", "K",
]  # fmt: skip
NEEDLES = [
    *(text for text in TEXTS if text),
    *("K", "k", "\u212a", "\u017f", "S", "%", "_", "50%", "\\", '"', "<b>", "\u2028", "É", "\n", "7.0", "'", "?"),
]


def documents() -> list[str]:
    """JSON with each value, plain, escaped and inside another; then what is no JSON, and what is no object."""
    found = []
    for value in [*VALUES, [], ["x"], {}, {"b": "x"}, {"a": 7}]:
        for ascii_only in (True, False):
            found.append(json.dumps({"a": value}, ensure_ascii=ascii_only))
            found.append(json.dumps({"a": {"b": value}, "c": value}, ensure_ascii=ascii_only, separators=(",", ":")))
    found += ['{"a": 7, "a": 8}', '{"a": 8, "a": 7}', '{"a": "\\u0078"}', '{"a": "\\u003cb\\u003e"}', '{"w":"<B>"}']
    return [*dict.fromkeys(found), '{"a": 7', "", "7", "[7]", '"x"', "null"]


@pytest.fixture(scope="module")
def athena() -> Iterator[AthenaOnDuckDb]:
    engine = AthenaOnDuckDb()
    engine.load([(str(number), text) for number, text in enumerate(documents())])
    yield engine
    engine.close()


def check(athena: AthenaOnDuckDb, filters: Filters) -> int:
    clause = joined(" AND ", filter_clauses(filters))
    matches = compile_filters(filters)
    wanted = {str(number) for number, text in enumerate(documents()) if matches(0, "", "", "", "", text.encode())}
    assert athena.found(with_parameters(clause.sql, list(clause.parameters))) == wanted, filters
    return len(wanted)


@pytest.mark.parametrize("path", [("a",), ("a", "b"), ("c",)], ids=".".join)
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_field_has_a_value_and_its_type(athena: AthenaOnDuckDb, path: tuple[str, ...], value: object) -> None:
    filters = Filters(fields=(FieldEquality(path, value),))  # type: ignore[arg-type]
    assert check(athena, filters) or isinstance(value, int | float), "each text, truth and null is found somewhere"


@pytest.mark.parametrize("needle", NEEDLES, ids=repr)
def test_a_text_is_found_in_each_form_and_in_either_case_of_a_to_z_alone(athena: AthenaOnDuckDb, needle: str) -> None:
    check(athena, Filters(text=needle))
