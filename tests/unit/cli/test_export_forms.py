"""What is written is what is stored, in each form, and harms nobody who opens it."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import UTC, datetime
from typing import Any

import pyarrow.parquet as pq
import pytest
from extaudit_cli.exporting.csv_rows import COLUMNS, safe
from extaudit_cli.exporting.forms import Form

from tests.unit.cli.exported import exported

PLAIN = b'{"event":"a.b","n":1.10,  "big":12345678901234567890,"x":"\\u001b\xe2\x80\xae"}'
TIME = datetime(2024, 5, 1, 12, 0, 0, 123000, tzinfo=UTC)


def written(form: Form, *pieces: Any) -> bytes:
    encoder = form.encoder()
    return form.head() + b"".join(map(encoder.encode, pieces)) + encoder.finish()


LINES: dict[str, tuple[bytes, bytes]] = {
    "byte for byte": (PLAIN, PLAIN),
    "a raw newline between tokens": (b'{"event":\n"a.b"}', b'{"event": "a.b"}'),
    "a raw CR LF": (b'{\r\n"event":"a.b"}', b'{  "event":"a.b"}'),
    "an escaped newline stays": (b'{"event":"a\\nb"}', b'{"event":"a\\nb"}'),
    "U+2028 is no newline": ('{"event":"a\u2028b"}'.encode(), '{"event":"a\u2028b"}'.encode()),
}


@pytest.mark.parametrize(("stored", "line"), LINES.values(), ids=LINES)
def test_a_line_is_the_stored_json(stored: bytes, line: bytes) -> None:
    other = b'{"event":"o.o"}'
    assert written(Form("jsonl"), exported([other, stored, other])) == b"\n".join([other, line, other, b""])
    assert json.loads(line) == json.loads(stored)


@pytest.mark.parametrize("form", [Form("jsonl"), Form("jsonl", receipts=True), Form("jsonl", gzip=True)])
def test_no_events_are_no_bytes(form: Form) -> None:
    assert written(form, exported([])) == b""


def test_a_receipt_goes_beside_its_event() -> None:
    events = exported([PLAIN, b"{\n}"], emitter_numbers=[1, 0], received_ms=[1_714_564_801_000, 0])
    first, second = written(Form("jsonl", receipts=True), events).splitlines()
    assert first.startswith(b'{"event":' + PLAIN + b',"receipt":{')
    assert json.loads(first)["receipt"] == {
        "storage": "default",
        "log_id": "l",
        "sequence": 1,
        "emitter": {
            "kind": "user",
            "name": "alice",
            "trust_anchor": "ca",
            "certificate_serial": "1f",
            "token_id": "",
        },
        "peer": "ipv4:127.0.0.1:1",
        "received_time": "2024-05-01T12:00:01.000Z",
    }
    unknown = json.loads(second)["receipt"]
    assert (unknown["sequence"], unknown["emitter"], unknown["received_time"]) == (2, None, None)


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_each_piece_is_a_gzip_member_that_is_whole_by_itself(format: str) -> None:
    pieces = [exported([PLAIN]), exported([]), exported([PLAIN, PLAIN])]
    plain = written(Form(format), *pieces)
    encoder = Form(format, gzip=True).encoder()
    data, ends = Form(format, gzip=True).head(), []
    for piece in pieces:
        data += encoder.encode(piece)
        ends.append(len(data))
    assert gzip.decompress(data) == plain
    for end in ends:
        assert plain.startswith(gzip.decompress(data[:end]))


CELLS: dict[str, tuple[str, str]] = {
    "formula": ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
    "plus": ("+1", "'+1"),
    "minus": ("-1", "'-1"),
    "at": ("@SUM(A1)", "'@SUM(A1)"),
    "tab": ("\t=1", "'\t'=1"),
    "carriage return": ("\r=1", "'\r'=1"),
    "line feed": ("\n=1", "'\n'=1"),
    "full width": ("\uff1d1", "'\uff1d1"),
    "NUL before it": ("\0=1", "\ufffd=1"),
    "line feed within": ("a\n=1", "a\n'=1"),
    "another separator": ("a;=1", "a;'=1"),
    "quotes behind it": ('a; "@1', "a; \"'@1"),
    "plain": ("alice", "alice"),
    "inside": ("a=b+c@d", "a=b+c@d"),
    "empty": ("", ""),
}


@pytest.mark.parametrize(("value", "cell"), CELLS.values(), ids=CELLS)
def test_no_cell_begins_a_formula(value: str, cell: str) -> None:
    assert safe(value) == cell
    events = exported([b'\t{"event":"=a"}'], types=[value], uids=[value], users=[value], session_ids=[value])
    (row,) = csv.DictReader(io.StringIO(written(Form("csv"), events).decode(), newline=""))
    assert [row[name] for name in ("type", "uid", "user", "session_id")] == [cell] * 4
    assert row["json"] == '\'\t{"event":"=a"}'


def test_a_cell_of_nothing_but_separators_is_read_once() -> None:
    """From each of them to the end would take hours."""
    separators = "\n" * 1_000_000
    assert safe(f"a{separators}=1") == f"a{separators}'=1"


def test_nor_does_one_where_semicolons_separate_cells() -> None:
    """As spreadsheets of many languages have it: they find cells of ours in one, and begin others within it."""
    attack, line = 'a;=1\n@2;"+3', b'{"event":"a;=1","b":"; -2;\\"@3;"}'
    columns = {name: [attack] for name in ("types", "uids", "users", "session_ids")}
    data = written(Form("csv"), exported([line], **columns)).decode()
    cells = [cell for row in csv.reader(io.StringIO(data, newline=""), delimiter=";") for cell in row]
    assert len(cells) > 10, "it is misread"
    assert not [cell for cell in cells if cell.strip().startswith(("=", "+", "-", "@"))]
    (row,) = csv.DictReader(io.StringIO(data, newline=""))
    assert json.loads(row["json"]) == json.loads(line)


def test_csv_has_its_columns_and_follows_rfc_4180() -> None:
    events = exported([b'{"event":"a.b","q":"\\"",\n"c":","}'], users=['say "hi", bob\r\nbye'], log_id="-log")
    data = written(Form("csv"), events)
    assert data.splitlines()[0].decode() == "time,type,uid,user,session_id,log_id,sequence,emitter,received,json"
    assert data.endswith(b"\r\n")
    (row,) = csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True)
    assert tuple(row) == COLUMNS
    assert row == {
        "time": "2024-05-01T12:00:00.123Z",
        "type": "a.b",
        "uid": "u1",
        "user": 'say "hi", bob\r\nbye',
        "session_id": "",
        "log_id": "'-log",
        "sequence": "1",
        "emitter": "user alice",
        "received": "2024-05-01T12:00:01.000Z",
        "json": '{"event":"a.b","q":"\\"", "c":","}',
    }


TIMES = {0: "1970-01-01T00:00:00.000Z", -1: "1969-12-31T23:59:59.999Z", 253402300799999: "9999-12-31T23:59:59.999Z"}


def test_every_time_is_written() -> None:
    events = exported([b"{}"] * 4, times_ms=[*TIMES, 0])
    rows = list(csv.DictReader(io.StringIO(written(Form("csv"), events).decode(), newline="")))
    assert [row["time"] for row in rows] == [*TIMES.values(), TIMES[0]]


def test_an_emitter_that_is_not_known_is_an_empty_cell() -> None:
    (row,) = csv.DictReader(
        io.StringIO(written(Form("csv"), exported([b"{}"], emitter_numbers=[0], received_ms=[0])).decode())
    )
    assert (row["emitter"], row["received"]) == ("", "")


def test_parquet_has_teleports_columns_and_the_place_and_emitter() -> None:
    pieces = [exported([PLAIN, b"{\n}"], emitter_numbers=[1, 0], received_ms=[1_714_564_801_000, 0]), exported([PLAIN])]
    table = pq.read_table(io.BytesIO(written(Form("parquet"), *pieces)))
    assert table.column_names[:6] == ["event_type", "event_time", "uid", "session_id", "user", "event_data"]
    first, second, third = table.to_pylist()
    assert first == {
        "event_type": "a.b",
        "event_time": TIME,
        "uid": "u1",
        "session_id": "",
        "user": "alice",
        "event_data": PLAIN.decode(),
        "log_id": "l",
        "sequence": 1,
        "emitter": "user alice",
        "received": datetime(2024, 5, 1, 12, 0, 1, tzinfo=UTC),
    }
    assert (second["event_data"], second["emitter"], second["received"]) == ("{\n}", None, None)
    assert third["event_data"] == PLAIN.decode()


def test_parquet_of_no_events_is_no_file_and_a_row_group_is_bounded() -> None:
    assert written(Form("parquet"), exported([])) == b""
    pieces = [exported([PLAIN] * 3000)] * 10
    found = pq.ParquetFile(io.BytesIO(written(Form("parquet"), *pieces)))
    groups = [found.metadata.row_group(number).num_rows for number in range(found.metadata.num_row_groups)]
    assert sum(groups) == 30_000
    assert max(groups) <= 8192
