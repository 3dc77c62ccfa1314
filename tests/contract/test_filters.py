"""Every filter has two forms, in Python and in DuckDB; one table of cases holds both to the same answers."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from server.audit_log.batch_codec import BatchRow, columns_of, encode
from server.storage.matching import compile_filters
from server.storage.needles import needle_forms
from server.storage.query import FieldEquality, FieldValue, Filters, Order, ScanObject, ScanRequest
from server.storage.scan.conditions import PATTERN_CHARACTERS, PREFIX_CHARACTERS, filter_conditions
from server.storage.scan.engine import DuckScanEngine

NOON = 1_750_075_200_000


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckScanEngine]:
    engine = DuckScanEngine(
        threads=1, memory_bytes=1 << 28, allowed_directories=[str(tmp_path_factory.getbasetemp().resolve())]
    )
    yield engine
    engine.close()


def _row(
    data: bytes, *, time_ms: int = NOON, type_: str = "t", uid: str = "u", session: str = "", user: str = ""
) -> BatchRow:
    return BatchRow(1, time_ms, type_, uid, session, user, data, hashlib.sha256(data).hexdigest())


def _in_python(filters: Filters, row: BatchRow) -> bool:
    return compile_filters(filters)(row.time_ms, row.type, row.uid, row.session_id, row.user, row.data)


def _in_duckdb(engine: DuckScanEngine, folder: Path, filters: Filters, row: BatchRow) -> bool:
    return _found(engine, _object(folder, [row]), filters) == {row.uid}


def _object(folder: Path, rows: Sequence[BatchRow]) -> ScanObject:
    path = folder / "o.parquet"
    encode(columns_of(rows), path, log_id="l", first=1, last=len(rows))
    return ScanObject("o", str(path))


def _found(engine: DuckScanEngine, item: ScanObject, filters: Filters) -> set[str]:
    result = engine.scan(ScanRequest([item], filters, Order.NEWEST_FIRST, 1000))
    assert result.unreadable == []
    return {row.position.uid for row in result.rows}


COLUMNS = [
    (Filters(), _row(b"{}"), True),
    (Filters(from_ms=NOON), _row(b"{}"), True),
    (Filters(from_ms=NOON + 1), _row(b"{}"), False),
    (Filters(to_ms=NOON), _row(b"{}"), False),
    (Filters(to_ms=NOON + 1), _row(b"{}"), True),
    (Filters(from_ms=-5, to_ms=1), _row(b"{}", time_ms=0), True),
    (Filters(from_ms=-5, to_ms=0), _row(b"{}", time_ms=-1), True),
    (Filters(types=frozenset({"t", "x"})), _row(b"{}"), True),
    (Filters(types=frozenset({"T"})), _row(b"{}"), False),
    (Filters(users=frozenset({""})), _row(b"{}"), True),
    (Filters(users=frozenset({"é'; --"})), _row(b"{}", user="é'; --"), True),
    (Filters(users=frozenset({"a"})), _row(b"{}", user="ab"), False),
    (Filters(session_id="s"), _row(b"{}", session="s"), True),
    (Filters(session_id="s"), _row(b"{}"), False),
    (Filters(uids=frozenset({"u", "v"})), _row(b"{}"), True),
    (Filters(uids=frozenset({"v"})), _row(b"{}"), False),
    (Filters(types=frozenset({"t"}), users=frozenset({"x"})), _row(b"{}"), False),
]

TEXTS = [
    ("abc", '{"k":"xABCx"}', True),
    ("ABC", '{"k":"xabcx"}', True),
    ("abd", '{"k":"abc"}', False),
    ("key", '{"KEY":1}', True),
    ("é", '{"k":"é"}', True),
    ("é", '{"k":"\\u00E9"}', True),
    ("É", '{"k":"é"}', False),
    ("k", '{"x":"\u212a"}', False),
    ("s", '{"x":"\u017f"}', False),
    ("\u212a", '{"x":"k"}', False),
    ("i", '{"x":"\u0130"}', False),
    ("😀", '{"k":"\\ud83d\\uDE00"}', True),
    ("a<b", '{"k":"a\\u003cb"}', True),
    ("a&é>", '{"k":"a\\u0026é\\u003e"}', True),
    ("a&é>", '{"k":"a\\u0026\\u00e9\\u003e"}', True),
    ("a\u2028b", '{"k":"a\\u2028b"}', True),
    ("a\u2028é", '{"k":"a\\u2028é"}', True),
    ('say "hi"', '{"k":"say \\"hi\\""}', True),
    ("a\\b", '{"k":"a\\\\b"}', True),
    ("a\nb", '{"k":"a\\nb"}', True),
    ("tab\t", '{"k":"TAB\\t"}', True),
    ("a.c", '{"k":"abc"}', False),
    ("a.c", '{"k":"a.c"}', True),
    ("(?i)[a]*|$^", '{"k":"x"}', False),
    ("(?i)[a]*|$^", '{"k":"(?i)[A]*|$^"}', True),
    ("a b-c_d%e#~'", '{"k":"A B-C_D%E#~\'"}', True),
    ("x\x00y", '{"k":"x\\u0000y"}', True),
    ("x\x7fy", '{"k":"x\x7fy"}', True),
    ('":{"', '{"a":{"b":1}}', True),
    ("x", "{}", False),
    ("k" * 300, f'{{"x":"{"K" * 300}"}}', True),
    ("k" * 300, f'{{"x":"{"K" * 299}\u212a"}}', False),
    ("K" * 299 + "\u212a", f'{{"x":"{"K" * 300}"}}', False),
]

FIELDS: list[tuple[tuple[str, ...], FieldValue, str, bool]] = [
    (("a",), "x", '{"a":"x"}', True),
    (("a",), "x", '{"a":"X"}', False),
    (("a",), "x", '{"a":"xx"}', False),
    (("a",), "é/\n<", '{"a":"\\u00e9\\/\\n\\u003c"}', True),
    (("a",), "é", '{"a":"é"}', True),
    (("a",), "\x00\x7f\u2028😀", '{"a":"\\u0000\x7f\u2028\\ud83d\\ude00"}', True),
    (("a",), 'q"b\\', '{"a":"q\\"b\\\\"}', True),
    (("a",), "", '{"a":""}', True),
    (("a",), "1", '{"a":1}', False),
    (("a",), "null", '{"a":null}', False),
    (("a",), "true", '{"a":true}', False),
    (("a",), '"x"', '{"a":"x"}', False),
    (("a",), 1, '{"a":1}', True),
    (("a",), 1, '{"a":1.0}', False),
    (("a",), 1, '{"a":1e0}', False),
    (("a",), 1, '{"a":"1"}', False),
    (("a",), 1, '{"a":true}', False),
    (("a",), 0, '{"a":-0}', True),
    (("a",), 0, '{"a":false}', False),
    (("a",), -7, '{"a":-7}', True),
    (("a",), 2**63 - 1, '{"a":9223372036854775807}', True),
    (("a",), -(2**63), '{"a":-9223372036854775808}', True),
    (("a",), 2**63, '{"a":9223372036854775808}', False),
    (("a",), 2**53 + 1, '{"a":9007199254740993}', True),
    (("a",), 2**53, '{"a":9007199254740993}', False),
    (("a",), 1.0, '{"a":1.0}', True),
    (("a",), 1.0, '{"a":1E0}', True),
    (("a",), 100.0, '{"a":1e2}', True),
    (("a",), 1.0, '{"a":1}', False),
    (("a",), 1.0, '{"a":"1.0"}', False),
    (("a",), 0.1, '{"a":0.1000}', True),
    (("a",), 0.30000000000000004, '{"a":0.3}', False),
    (("a",), 0.0, '{"a":-0.0}', True),
    (("a",), -1.5e-7, '{"a":-0.00000015}', True),
    (("a",), 9.223372036854775808e18, '{"a":9223372036854775808}', True),
    (("a",), 1.8446744073709552e19, '{"a":18446744073709551616}', True),
    (("a",), -9.223372036854775808e18, '{"a":-9223372036854775809}', True),
    (("a",), -9.223372036854775808e18, '{"a":-9223372036854775808}', False),
    (("a",), float("nan"), '{"a":0.0}', False),
    (("a",), float("inf"), '{"a":1e308}', False),
    (("a",), True, '{"a":true}', True),
    (("a",), False, '{"a":false}', True),
    (("a",), True, '{"a":false}', False),
    (("a",), True, '{"a":1}', False),
    (("a",), True, '{"a":"true"}', False),
    (("a",), None, '{"a":null}', True),
    (("a",), None, "{}", False),
    (("a",), None, '{"a":{}}', False),
    (("a",), None, '{"a":"null"}', False),
    (("a",), "x", '{"a":{"a":"x"}}', False),
    (("a", "b"), "x", '{"a":{"b":"x"}}', True),
    (("a", "b"), "x", '{"a.b":"x"}', False),
    (("a.b",), "x", '{"a.b":"x"}', True),
    (("addr.remote", "$.x"), 1, '{"addr.remote":{"$.x":1}}', True),
    (("",), "x", '{"":"x"}', True),
    (("", "", "b"), "x", '{"":{"":{"b":"x"}}}', True),
    (("a/b", "c~d"), 1, '{"a/b":{"c~d":1}}', True),
    (("~1",), 1, '{"/":1}', False),
    (("*",), 1, '{"b":1}', False),
    (("*",), 1, '{"*":1}', True),
    (("a[0]",), 1, '{"a":[1]}', False),
    (("a[0]",), 1, '{"a[0]":1}', True),
    (("a", "0"), 1, '{"a":[1]}', False),
    (("a", "0"), 1, '{"a":{"0":1}}', True),
    (("a", "0", "b", "10", "11"), 1, '{"a":{"0":{"b":{"10":{"11":1}}}}}', True),
    (("a", "0", "b"), 1, '{"a":[{"b":1}]}', False),
    (("a", "-"), 1, '{"a":[1]}', False),
    (("a", "#"), 1, '{"a":[1]}', False),
    (('q"', "\\", "'"), 1, '{"q\\"":{"\\\\":{"\'":1}}}', True),
    (("é", "\n\x00"), 1, '{"\\u00e9":{"\\n\\u0000":1}}', True),
    (("a",), "first", '{"a":"first","a":"last"}', True),
    (("a",), "last", '{"a":"first","a":"last"}', False),
    (("a", "b"), 1, '{"a":{"c":1},"a":{"b":1}}', False),
    (("a",), "x", '{ "a" : "x" }', True),
    (("a",), "x", '["a","x"]', False),
    (("a",), "x", "not json", False),
    (("a",), 1, "", False),
    (("a",), None, '{"a":null', False),
    (("a",), "x", '{"a":"x","b":"\\ud800"}', False),
    ((), "x", '"x"', False),
]


@pytest.mark.parametrize(("filters", "row", "wanted"), COLUMNS)
def test_columns(engine: DuckScanEngine, tmp_path: Path, filters: Filters, row: BatchRow, wanted: bool) -> None:
    assert _in_python(filters, row) is wanted
    assert _in_duckdb(engine, tmp_path, filters, row) is wanted


@pytest.mark.parametrize(("text", "data", "wanted"), TEXTS)
def test_text(engine: DuckScanEngine, tmp_path: Path, text: str, data: str, wanted: bool) -> None:
    filters, row = Filters(text=text), _row(data.encode())
    assert _in_python(filters, row) is wanted
    assert _in_duckdb(engine, tmp_path, filters, row) is wanted


@pytest.mark.parametrize(("path", "value", "data", "wanted"), FIELDS)
def test_fields(
    engine: DuckScanEngine, tmp_path: Path, path: tuple[str, ...], value: FieldValue, data: str, wanted: bool
) -> None:
    filters, row = Filters(fields=(FieldEquality(path, value),)), _row(data.encode())
    assert _in_python(filters, row) is wanted
    assert _in_duckdb(engine, tmp_path, filters, row) is wanted


def test_all_ascii_text_is_found_in_its_own_json(engine: DuckScanEngine, tmp_path: Path) -> None:
    text = "".join(map(chr, range(128)))
    row = _row(json.dumps({"k": text.swapcase()}).encode())
    assert _in_python(Filters(text=text), row)
    assert _in_duckdb(engine, tmp_path, Filters(text=text), row)


def test_all_of_several_fields_must_hold(engine: DuckScanEngine, tmp_path: Path) -> None:
    row = _row(b'{"a":1,"b":"x"}')
    for value, wanted in (("x", True), ("y", False)):
        filters = Filters(fields=(FieldEquality(("a",), 1), FieldEquality(("b",), value)))
        assert _in_python(filters, row) is wanted
        assert _in_duckdb(engine, tmp_path, filters, row) is wanted


LETTERS = (*"aaAbZks\u212a\u017fé", *"ÉßİΣ😀\u2028<&", *"\"\\\n\x00'/%.[$", "u00")


def _as_json(text: str, chance: random.Random) -> str:
    """A JSON string in any of the ways that there are to write it."""
    written = ""
    for char in text:
        way = chance.randrange(4)
        if way == 0 or (way == 1 and char in "<>&\u2028\u2029"):
            units = char.encode("utf-16-be").hex(sep=" ", bytes_per_sep=2).split()
            written += "".join("\\u" + (unit if way else unit.upper()) for unit in units)
        else:
            written += json.dumps(char, ensure_ascii=way == 2)[1:-1]
    return f'"{written}"'


def _texts_and_events(chance: random.Random) -> Iterator[tuple[str, str]]:
    """A text, and JSON that has it, or nearly, in a form of one kind or in one that mixes them."""
    for length in (2, 31, 33, 60, 256, 300):
        for letters in (LETTERS, "aA", "é<", "a"):
            text = "".join(chance.choice(letters) for _ in range(length))
            place = chance.randrange(length)
            other = text[:place] + chance.choice(LETTERS) + text[place + 1 :]
            for near in (
                text,
                text.swapcase() if text.isascii() else text,
                other,
                text.replace("k", "\u212a"),
                "a" * 40 + text,
            ):
                form = chance.choice((*needle_forms(near), json.dumps(near)[1:-1]))
                kept = json.dumps(near, ensure_ascii=False).replace("<", "\\u003c")
                yield text, chance.choice((_as_json(near, chance), json.dumps(near), kept, f'"x" "{form.upper()}"'))


@pytest.mark.parametrize("seed", range(1))
def test_texts_of_any_length_are_found_alike(engine: DuckScanEngine, tmp_path: Path, seed: int) -> None:
    cases = list(_texts_and_events(random.Random(seed)))
    rows = [_row(f'{{"k":{data}}}'.encode(), uid=f"u{number}") for number, (_, data) in enumerate(cases)]
    item, counts = _object(tmp_path, rows), []
    for text in dict.fromkeys(text for text, _ in cases):
        found = _found(engine, item, Filters(text=text))
        assert found == {row.uid for row in rows if _in_python(Filters(text=text), row)}, ascii(text)
        counts.append(len(found))
    assert min(counts) < 2 < max(counts)


@pytest.mark.parametrize("text", ["a" * 1023 + "b", "é" * 1024, "aé<" * 300, '"&é' * 340, "a" * 257])
def test_a_long_text_makes_no_long_pattern(text: str) -> None:
    """RE2 forgets the states of a pattern that is too long, and no deadline cuts it short."""
    (condition,) = filter_conditions(Filters(text=text))
    pattern, *whole = condition.values
    assert condition.sql.startswith("CASE WHEN regexp_matches(event_data, ?, 's') THEN (contains(translate(")
    assert tuple(whole) == needle_forms(text)
    assert len(pattern) <= len("[aA]") * PREFIX_CHARACTERS * len(whole)


@pytest.mark.parametrize("text", ["a" * PATTERN_CHARACTERS, "Node-077.eu-west-1.internal", "é" * 30])
def test_a_text_of_usual_length_is_one_pattern(text: str) -> None:
    (condition,) = filter_conditions(Filters(text=text))
    assert (condition.sql, len(condition.values)) == ("regexp_matches(event_data, ?, 's')", 1)
