"""Objects that aren't ours, or aren't well."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from server.audit_log.batch_codec import SCHEMA
from server.storage.ports import ScanTimeout, StorageError
from server.storage.query import CUT_CHARACTERS, FieldEquality, Filters, Order, ScanObject, ScanRequest, ScanResult
from server.storage.scan.conditions import Condition
from server.storage.scan.engine import DuckScanEngine
from server.storage.scan.statements import probe
from server.storage.value_tests import Operator, ValueTest
from tests.unit.scan.conftest import NOON, MakeObject, MakeRow


def _columns(**changed: Any) -> dict[str, Any]:
    columns = {
        "event_type": pa.array(["t", "t"]),
        "event_time": pa.array([NOON, NOON + 1], pa.timestamp("ms", "UTC")),
        "uid": pa.array(["u1", "u2"]),
        "session_id": pa.array(["", ""]),
        "user": pa.array(["x", "x"]),
        "event_data": pa.array(['{"k":"é"}', '{"k":2}']),
    }
    return columns | changed


def _write(folder: Path, key: str, columns: dict[str, Any], **options: Any) -> ScanObject:
    path = folder / f"{key}.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return ScanObject(key, str(path))


def _scan(engine: DuckScanEngine, *objects: ScanObject, filters: Filters | None = None) -> ScanResult:
    return engine.scan(ScanRequest(objects, filters or Filters(), Order.OLDEST_FIRST, 100))


def test_objects_as_teleport_writes_them_are_read(engine: DuckScanEngine, tmp_path: Path) -> None:
    columns = {name: array.cast(SCHEMA.field(name).type).take(pa.array([1, 0])) for name, array in _columns().items()}
    path = tmp_path / "0190-teleport.parquet"
    strings = [name for name in columns if name != "event_time"]
    pq.write_table(
        pa.table(columns, schema=SCHEMA),
        path,
        compression="snappy",
        data_page_version="2.0",
        use_dictionary=False,
        write_statistics=["event_time"],
        column_encoding=dict.fromkeys(strings, "DELTA_LENGTH_BYTE_ARRAY"),
    )
    result = _scan(engine, ScanObject("teleport", str(path)))
    assert [(row.position.uid, row.row_number, row.data) for row in result.rows] == [
        ("u1", 1, '{"k":"é"}'.encode()),
        ("u2", 0, b'{"k":2}'),
    ]


FOREIGN = {
    "microseconds": _columns(event_time=pa.array([NOON * 1000, NOON * 1000 + 1999], pa.timestamp("us"))),
    "nanoseconds": _columns(event_time=pa.array([NOON * 10**6, NOON * 10**6 + 1_999_499], pa.timestamp("ns"))),
    "another zone": _columns(event_time=pa.array([NOON, NOON + 1], pa.timestamp("ms", "Asia/Tokyo"))),
    "binary": {
        name: array.cast(pa.binary()) if pa.types.is_string(array.type) else array for name, array in _columns().items()
    },
    "large strings": {
        name: array.cast(pa.large_string()) if pa.types.is_string(array.type) else array
        for name, array in _columns().items()
    },
    "other order and more columns": {"extra": pa.array([1, 2])} | dict(reversed(_columns().items())),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_types_are_read_beside_ours_in_any_order(
    engine: DuckScanEngine, tmp_path: Path, make_object: MakeObject, make_row: MakeRow, kind: str
) -> None:
    foreign = _write(tmp_path, "m", FOREIGN[kind])
    for key in ("a", "z"):
        result = _scan(engine, make_object(key, make_row(7)), foreign)
        assert [(row.position.time_ms - NOON, row.position.uid, row.data) for row in result.rows] == [
            (0, "u1", '{"k":"é"}'.encode()),
            (1, "u2", b'{"k":2}'),
            (7, "u", b"{}"),
        ]
        assert result.unreadable == []


def test_rows_of_one_millisecond_are_ordered_by_uid_whatever_their_microseconds(
    engine: DuckScanEngine, tmp_path: Path
) -> None:
    times = pa.array([NOON * 1000 + 900, NOON * 1000 + 100], pa.timestamp("us", "UTC"))
    item = _write(tmp_path, "m", _columns(event_time=times))
    assert [row.position.uid for row in _scan(engine, item).rows] == ["u1", "u2"]
    assert len(_scan(engine, item, filters=Filters(to_ms=NOON)).rows) == 0
    count = 200
    same = {name: pa.array([column[0].as_py()] * count, column.type) for name, column in _columns().items()}
    same["event_time"] = pa.array(
        [NOON * 1000 + number * 7 % 1000 for number in range(count)], pa.timestamp("us", "UTC")
    )
    same["uid"] = pa.array([f"{count - number:03d}" for number in range(count)])
    many = _write(tmp_path, "many", same)
    uids = [row.position.uid for row in _scan(engine, many).rows]
    assert uids == [f"{number:03d}" for number in range(1, 101)]
    assert len(_scan(engine, item, filters=Filters(from_ms=NOON, to_ms=NOON + 1)).rows) == 2


def test_a_time_without_a_zone_is_utc_wherever_the_service_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    engine = DuckScanEngine(threads=1, memory_bytes=1 << 28, allowed_directories=[str(tmp_path)])
    item = _write(tmp_path, "m", FOREIGN["microseconds"])
    assert [row.position.time_ms - NOON for row in _scan(engine, item).rows] == [0, 1]
    settings = "SELECT current_setting('TimeZone'), current_setting('python_enable_replacements')"
    assert engine._database.cursor().execute(settings).fetchall() == [("UTC", False)]


@pytest.mark.parametrize("column", ["event_time", "uid", "event_data"])
def test_rows_without_time_uid_or_json_are_never_given_back(
    engine: DuckScanEngine, tmp_path: Path, column: str
) -> None:
    columns = _columns()
    columns[column] = pa.array([None, columns[column][1].as_py()], columns[column].type)
    result = _scan(engine, _write(tmp_path, "o", columns))
    assert [row.position.uid for row in result.rows] == ["u2"]


def test_other_columns_that_are_null_are_empty(engine: DuckScanEngine, tmp_path: Path) -> None:
    nulls = dict.fromkeys(("event_type", "session_id", "user"), pa.array([None, None], pa.string()))
    (row, _) = _scan(engine, _write(tmp_path, "o", _columns(**nulls))).rows
    assert (row.type, row.session_id, row.user) == ("", "", "")


def test_rows_that_are_not_json_fail_no_search(engine: DuckScanEngine, tmp_path: Path) -> None:
    texts = [
        "",
        "{",
        '{"k":"\\ud800"}',
        "NaN",
        '{"k":NaN}',
        '{"k":Infinity}',
        "[" * 5000,
        '{"k":1e999}',
        '"',
        '{"k":2}',
    ]
    columns = _columns(event_data=pa.array(texts))
    for name in ("event_type", "event_time", "uid", "session_id", "user"):
        columns[name] = pa.array([columns[name][0].as_py()] * len(texts), columns[name].type)
    item = _write(tmp_path, "o", columns)
    for value in (2, 2.0, "2", True, None, float("nan"), float("inf")):
        result = _scan(engine, item, filters=Filters(fields=(FieldEquality(("k",), value),)))
        assert result.unreadable == []
        assert [row.data for row in result.rows] == ([b'{"k":2}'] if value == 2 and type(value) is int else [])


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _damage_page(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[4:200] = bytes(196)
    path.write_bytes(body)


def _without(column: str) -> Callable[[Path], None]:
    return lambda path: pq.write_table(pa.table(_columns()).drop_columns([column]), path)


def _with(**changed: Any) -> Callable[[Path], None]:
    return lambda path: pq.write_table(pa.table(_columns(**changed)), path)


BROKEN: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "not parquet": lambda path: path.write_bytes(b"x" * 100),
    "truncated": _truncate,
    "damaged page": _damage_page,
    "no event_data": _without("event_data"),
    "no event_type": _without("event_type"),
    "time is a number": _with(event_time=pa.array([NOON, NOON])),
    "time is a text": _with(event_time=pa.array(["noon", "later"])),
    "not UTF-8": _with(event_data=pa.array([b"\xff", b"{}"])),
}


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("key", ["a", "m", "z"])
def test_an_unreadable_object_is_named_and_the_rest_is_answered(
    engine: DuckScanEngine, make_object: MakeObject, make_row: MakeRow, fault: str, key: str
) -> None:
    bad = make_object(key, make_row(9, data=b'{"bad":1}'))
    BROKEN[fault](Path(bad.path))
    good = [make_object("b", make_row(1)), make_object("y", make_row(2))]
    result = _scan(engine, good[0], bad, good[1])
    assert [row.object_key for row in result.rows] == ["b", "y"]
    assert [(item.key, item.missing) for item in result.unreadable] == [(key, fault == "missing")]
    assert "parquet/" not in result.unreadable[0].description
    assert bad.path not in result.unreadable[0].description
    with pytest.raises(StorageError) as raised:
        engine.fetch(bad.path, 5)
    assert bad.path not in str(raised.value)


def test_an_unreadable_object_is_probed_once_while_its_file_stays_as_it_is(
    engine: DuckScanEngine, make_object: MakeObject, make_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed = []

    def counted(path: str) -> Condition:
        probed.append(Path(path).stem)
        return probe(path)

    monkeypatch.setattr("server.storage.scan.engine.probe", counted)
    good, bad, worse = (make_object(key, make_row(1, key)) for key in ("good", "bad", "worse"))
    _damage_page(Path(bad.path))
    for _ in range(3):
        result = _scan(engine, good, bad)
        assert ([row.position.uid for row in result.rows], [item.key for item in result.unreadable]) == (
            ["good"],
            ["bad"],
        )
    assert sorted(probed) == ["bad", "good"]
    _damage_page(Path(worse.path))
    assert {item.key for item in _scan(engine, good, bad, worse).unreadable} == {"bad", "worse"}
    assert {item.key for item in _scan(engine, replace(bad, key="another key")).unreadable} == {"another key"}
    make_object("bad", make_row(1, "mended"))
    result = _scan(engine, bad, worse)
    assert [row.position.uid for row in result.rows] == ["mended"]
    assert [item.key for item in result.unreadable] == ["worse"]


@pytest.mark.parametrize(
    "filters",
    [
        Filters(users=frozenset({"red\ud800"})),
        Filters(condition=ValueTest(("team",), Operator.HAS_ANY, ("red\ud800",), True)),
        Filters(from_ms=1 << 200),
    ],
)
@pytest.mark.parametrize("is_damaged", [False, True])
def test_no_object_is_blamed_for_a_value_that_no_row_can_have(
    engine: DuckScanEngine,
    make_object: MakeObject,
    make_row: MakeRow,
    filters: Filters,
    is_damaged: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.storage.scan.engine.probe", lambda path: pytest.fail("no object is to be read"))
    item = make_object("o", make_row(1))
    if is_damaged:
        _damage_page(Path(item.path))
    with pytest.raises(ValueError, match=r"^a value of the search can't be put to DuckDB$"):
        _scan(engine, item, filters=filters)


def test_an_object_that_changes_on_disk_is_read_anew(
    engine: DuckScanEngine, make_object: MakeObject, make_row: MakeRow
) -> None:
    item = make_object("o", make_row(1, "old"))
    assert [row.position.uid for row in _scan(engine, item).rows] == ["old"]
    Path(item.path).unlink()
    assert _scan(engine, item).unreadable[0].missing
    make_object("o", make_row(1, "newer"), make_row(2, "newest"))
    assert [row.position.uid for row in _scan(engine, item).rows] == ["newer", "newest"]


@pytest.mark.parametrize("name", ["a[b]c", "*", "a?", "[", "]", "[!a]", "it's", "a\\b", "event_date=x", "é \n"])
def test_a_path_is_never_a_pattern(
    engine: DuckScanEngine, tmp_path: Path, make_object: MakeObject, make_row: MakeRow, name: str
) -> None:
    (tmp_path / name).mkdir()
    for decoy in ("ab", "b", "abc"):
        (tmp_path / decoy).mkdir(exist_ok=True)
        make_object(f"{decoy}/o", make_row(1, "decoy"))
    item = make_object(f"{name}/o", make_row(1, "wanted", b'{"a":1}'))
    result = _scan(engine, item)
    assert [row.position.uid for row in result.rows] == ["wanted"]
    assert engine.fetch(item.path, 0) == b'{"a":1}'


def test_a_passed_deadline_is_a_timeout(engine: DuckScanEngine, make_object: MakeObject, make_row: MakeRow) -> None:
    request = ScanRequest([make_object("o", make_row())], Filters(), Order.NEWEST_FIRST, 1)
    for _ in range(30):
        with pytest.raises(ScanTimeout):
            engine.scan(request, deadline=time.monotonic() - 1)
    assert len(engine.scan(request, deadline=time.monotonic() + 60).rows) == 1


def test_a_long_scan_is_interrupted_at_its_deadline(
    engine: DuckScanEngine, make_object: MakeObject, make_row: MakeRow
) -> None:
    item = make_object("o", *(make_row(number % 1000, data=b"x" * 2000) for number in range(5000)))
    copies = [ScanObject(f"{number:04d}", item.path) for number in range(400)]
    request = ScanRequest(copies, Filters(text="no such text"), Order.NEWEST_FIRST, 1)
    began = time.process_time()
    with pytest.raises(ScanTimeout):
        engine.scan(request, deadline=time.monotonic() + 0.2)
    assert time.process_time() - began < 3, "to its end it takes longer by far"
    assert not engine._watchdog._guarded, "it interrupts what comes after it no more"


def test_threads_may_scan_at_once(engine: DuckScanEngine, make_object: MakeObject, make_row: MakeRow) -> None:
    items = [make_object(f"o{number}", make_row(number, f"u{number}")) for number in range(8)]
    found: dict[int, list[str]] = {}

    def scan(number: int) -> None:
        for _ in range(10):
            found[number] = [row.position.uid for row in _scan(engine, items[number]).rows]

    threads = [threading.Thread(target=scan, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [f"u{number}"] for number in range(8)}


def test_an_object_outside_the_allowed_folders_is_not_read(
    engine: DuckScanEngine, tmp_path: Path, make_object: MakeObject, make_row: MakeRow
) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-beside.parquet"
    Path(make_object("o", make_row()).path).rename(outside)
    for path in (str(outside), f"{tmp_path}/../{outside.name}"):
        assert [item.key for item in _scan(engine, ScanObject("o", path)).unreadable] == ["o"]


@pytest.mark.parametrize(
    "statement",
    [
        "SET enable_external_access = true",
        "SET memory_limit = '10GB'",
        "SET allowed_directories = ['/']",
        "SELECT * FROM read_text('/etc/hostname')",
        "COPY (SELECT 1) TO '{outside}/x.csv'",
        "ATTACH '{outside}/x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
    ],
)
def test_the_database_is_locked_down(engine: DuckScanEngine, tmp_path: Path, statement: str) -> None:
    with pytest.raises(duckdb.Error):
        engine._database.execute(statement.format(outside=tmp_path.parent))


def test_what_needs_too_much_memory_by_itself_is_named(
    tmp_path: Path, make_object: MakeObject, make_row: MakeRow
) -> None:
    engine = DuckScanEngine(threads=1, memory_bytes=1 << 16, allowed_directories=[str(tmp_path)])
    item = make_object("o", *(make_row(number, data=b"%06d" % number * 1000) for number in range(1000)))
    result = engine.scan(ScanRequest([item], Filters(), Order.NEWEST_FIRST, 1000))
    assert (result.rows, [item.key for item in result.unreadable]) == ([], ["o"])
    assert "memory" in result.unreadable[0].description
    engine.close()


def test_long_users_of_rows_that_do_not_fit_into_memory_are_cut(
    tmp_path: Path, make_object: MakeObject, make_row: MakeRow
) -> None:
    engine = DuckScanEngine(threads=1, memory_bytes=1 << 25, allowed_directories=[str(tmp_path)])
    long = "é" * 50_000
    item = make_object("o", *(make_row(number)._replace(user=long) for number in range(600)))
    result = engine.scan(ScanRequest([item], Filters(users=frozenset({long})), Order.NEWEST_FIRST, 600))
    assert (len(result.rows), result.unreadable) == (600, [])
    assert {row.user for row in result.rows} == {long[:CUT_CHARACTERS]}
    engine.close()
