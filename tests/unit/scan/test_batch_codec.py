from __future__ import annotations

import base64
import hashlib
import io
import random
import zlib
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from server.audit_log.batch_codec import DAY_MS, EncodedObject, UnreadableFooter, columns_of, encode, read_sequences
from tests.unit.scan.conftest import NOON, MakeRow

SECRET = b'{"password":"canary-4242"}'


def test_rows_are_ordered_and_keep_their_sequences(tmp_path: Path, make_row: MakeRow) -> None:
    rng = random.Random(3)
    rows = [
        make_row(rng.randrange(50), rng.choice("aBc"), b"%d" % rng.randrange(4), sequence=2**33 + number)
        for number in range(3000)
    ]
    path = tmp_path / "o.parquet"
    encode(columns_of(rows), path, log_id="log", first=2**33, last=2**33 + 5000)
    ordered = sorted(rows, key=lambda row: (row.time_ms, row.uid, row.digest, row.sequence))
    assert pq.read_table(path)["event_data"].to_pylist() == [row.data.decode() for row in ordered]
    assert list(read_sequences(path)) == [row.sequence for row in ordered]


def test_the_file_has_teleports_columns_and_our_footer(tmp_path: Path, make_row: MakeRow) -> None:
    path = tmp_path / "o.parquet"
    encode(columns_of([make_row(sequence=8)]), path, log_id="log", first=7, last=9)
    metadata = pq.read_metadata(path)
    columns = [metadata.schema.column(number) for number in range(len(metadata.schema))]
    assert [(c.name, c.physical_type, c.max_definition_level) for c in columns] == [
        ("event_type", "BYTE_ARRAY", 0),
        ("event_time", "INT64", 0),
        ("uid", "BYTE_ARRAY", 0),
        ("session_id", "BYTE_ARRAY", 0),
        ("user", "BYTE_ARRAY", 0),
        ("event_data", "BYTE_ARRAY", 0),
    ]
    assert {c.logical_type.type for c in columns if c.name != "event_time"} == {"STRING"}
    assert '"isAdjustedToUTC":true,"timeUnit":"milliseconds"' in columns[1].logical_type.to_json()
    pairs = metadata.metadata
    assert set(pairs) == {b"log_id", b"first", b"last", b"sequences"}
    assert (pairs[b"log_id"], pairs[b"first"], pairs[b"last"]) == (b"log", b"7", b"9")


def test_no_event_json_is_in_the_footer(tmp_path: Path, make_row: MakeRow) -> None:
    path = tmp_path / "o.parquet"
    encode(columns_of([make_row(data=SECRET)]), path, log_id="log", first=1, last=1)
    statistics = [pq.read_metadata(path).row_group(0).column(number).statistics for number in range(6)]
    assert [found is not None for found in statistics] == [True, True, True, True, True, False]
    footer = path.read_bytes()[-pq.read_metadata(path).serialized_size :]
    assert b"canary" not in footer


def test_a_uid_that_is_not_in_the_object_is_told_by_its_bloom_filter(tmp_path: Path, make_row: MakeRow) -> None:
    path = tmp_path / "o.parquet"
    encode(
        columns_of([make_row(number, f"u{number:04d}") for number in range(1000)]), path, log_id="log", first=1, last=1
    )
    probe = "SELECT bool_and(bloom_filter_excludes) FROM parquet_bloom_probe(?, 'uid', ?)"
    with duckdb.connect() as database:
        told = [database.execute(probe, [str(path), f"u{number:04d}"]).fetchall() for number in (500, 777)]
        others = [database.execute(probe, [str(path), f"x{number}"]).fetchall() for number in range(50)]
    assert told == [[(False,)], [(False,)]]
    assert others.count([(True,)]) > 40


def test_encode_tells_what_it_wrote_and_the_same_rows_give_the_same_bytes(make_row: MakeRow) -> None:
    rows = [make_row(9, "a", type_="z"), make_row(1, "b", type_="y", sequence=2)]
    first, second = io.BytesIO(), io.BytesIO()
    told = encode(columns_of(rows), first, log_id="log", first=1, last=2)
    assert told == encode(columns_of(rows[::-1]), second, log_id="log", first=1, last=2)
    body = first.getvalue()
    assert body == second.getvalue()
    assert told == EncodedObject(2, len(body), hashlib.sha256(body).hexdigest(), NOON + 1, NOON + 9, ("y", "z"))


def test_what_makes_no_object_is_refused(make_row: MakeRow) -> None:
    for rows in (
        [],
        [make_row(), make_row(DAY_MS)],
        [make_row(sequence=0)],
        [make_row(sequence=3)],
        [make_row(data=b"\xff")],
    ):
        target = io.BytesIO()
        with pytest.raises(ValueError):
            encode(columns_of(rows), target, log_id="log", first=1, last=2)
        assert target.getvalue() == b""


def test_rows_out_of_order_are_refused(make_row: MakeRow) -> None:
    columns = columns_of([make_row(1), make_row(2)])
    with pytest.raises(ValueError, match="in order of time"):
        encode(replace(columns, times_ms=columns.times_ms[::-1]), io.BytesIO(), log_id="log", first=1, last=2)


def test_a_footer_that_is_not_ours_is_named_so(tmp_path: Path, make_row: MakeRow) -> None:
    path = tmp_path / "o.parquet"
    with pytest.raises(UnreadableFooter):
        read_sequences(path)
    path.write_bytes(b"PAR1")
    with pytest.raises(UnreadableFooter):
        read_sequences(path)
    encode(columns_of([make_row(sequence=1), make_row(1, sequence=2)]), path, log_id="log", first=1, last=2)
    table = pq.read_table(path)
    good = {"first": "1", "last": "2"}
    for sequences in (
        None,
        "!",
        "AAAA",
        _packed(b""),
        _packed(bytes(12)),
        _packed(b"\x00\x00\x00\x00\x02\x00\x00\x00"),
    ):
        pairs = good if sequences is None else good | {"sequences": sequences}
        pq.write_table(table.replace_schema_metadata(pairs), path)
        with pytest.raises(UnreadableFooter):
            read_sequences(path)
    pq.write_table(table.replace_schema_metadata(good | {"sequences": _packed(bytes(8))}), path)
    assert list(read_sequences(path)) == [1, 1]


def _packed(raw: bytes) -> str:
    return base64.b64encode(zlib.compress(raw)).decode()


def test_rows_are_not_changed_by_encoding(make_row: MakeRow) -> None:
    rows = [make_row(5), make_row(1)]
    before = [row._replace() for row in rows]
    encode(columns_of(rows), io.BytesIO(), log_id="log", first=1, last=2)
    assert rows == before
