from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import pytest
from extaudit_cli import event_lines
from extaudit_cli.event_json import one_line_json, row_json
from extaudit_cli.event_lines import EventLines
from extaudit_cli.fields import parse_field, parse_field_json
from extaudit_cli.text import fit, json_visible, visible, width
from extaudit_client import EventRow

NOW = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a.b="x"', (("a", "b"), "x")),
        ('a="x=y"', (("a",), "x=y")),
        ("a=1", (("a",), 1)),
        ("a=1.0", (("a",), 1.0)),
        ("a=false", (("a",), False)),
        ("a=null", (("a",), None)),
    ],
)
def test_a_field_filter_has_a_typed_value(text: str, expected: object) -> None:
    path, value = parse_field(text)
    assert (path, value) == expected
    assert type(value) is type(expected[1])  # type: ignore[index]


@pytest.mark.parametrize("text", ["a", "=1", "a=x", "a=", "a..b=1", "a=[1]", "a={}", "a=NaN", "a=-Infinity"])
def test_a_field_filter_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_field(text)


def test_keys_with_dots_are_given_as_json() -> None:
    assert parse_field_json('[["addr.local","x"],"y"]') == (("addr.local", "x"), "y")


@pytest.mark.parametrize("text", ["", "[]", '["a","b"]', '[["a"]]', "[[],1]", "[[1],1]", '[["a"],[]]', '[["a"],NaN]'])
def test_keys_with_dots_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_field_json(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 漢", "plain é 漢"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202e\u2066\u2069\u200e\u200f", "\\u202e\\u2066\\u2069\\u200e\\u200f"),
        ("\u2028\u061c\ufeff", "\\u2028\\u061c\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_controls_and_bidi_characters_are_escaped(text: str, expected: str) -> None:
    assert visible(text) == expected


def test_escaped_json_is_the_same_json() -> None:
    text = '{\n "a": "\u202e\x9b\U000e0041漢"}'
    escaped = json_visible(text)
    assert escaped == '{\n "a": "\\u202e\\u009b\\udb40\\udc41漢"}'
    assert json.loads(escaped) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("abc", "abc  "), ("abcdef", "abcd…"), ("漢字漢", "漢字…"), ("", "     ")]
)
def test_a_cell_takes_exactly_its_columns(text: str, expected: str) -> None:
    assert fit(text, 5) == expected
    assert width(fit(text, 5)) == 5


def test_no_more_of_a_long_text_is_looked_at_than_is_shown() -> None:
    """An event may have a megabyte of it: cut off one by one, they took longer than anyone waits for a tail."""
    assert fit("ü" * 1_000_000, 5) == "üüüü…"


def test_lines_are_given_as_they_are_without_newline_and_blank_ones_left_out() -> None:
    lines = EventLines(io.BytesIO(b'{"a":1}\r\n\n  \n {"b":2}\n{"c":3}'))
    assert list(lines) == [b'{"a":1}\r', b' {"b":2}', b'{"c":3}']
    assert [lines.line_of(1), lines.line_of(0)] == [4, 1]
    assert lines.remaining() == [5]


def test_a_line_too_long_for_any_service_is_named_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_lines, "MAX_LINE_BYTES", 4)
    lines = EventLines(io.BytesIO(b"1234\n12345\n" + b"x" * 50 + b"\nend\n123456789"))
    assert list(lines) == [b"1234", b"end"]
    assert lines.too_long == [2, 3, 5]
    assert lines.remaining() == [1, 4]


def test_one_line_json_changes_only_raw_newlines() -> None:
    payload = b'{"a" :\r\n  "x\\ny",\t"n":12345678901234567890.10}'
    assert one_line_json(payload) == b'{"a" :    "x\\ny",\t"n":12345678901234567890.10}'
    assert json.loads(one_line_json(payload)) == json.loads(payload)


def row(payload: bytes) -> EventRow:
    return EventRow(payload, NOW, "t", "u", "", "", "d", (), False, len(payload))


def test_a_row_holds_the_event_with_its_numbers_as_they_are_stored() -> None:
    assert b'"event": {"n":1.10}}' in row_json(row(b'{"n":1.10}'), b'{"n":1.10}')


@pytest.mark.parametrize("payload", [b"not json", b"\xff", b"[" * 100_000])
def test_a_payload_that_is_not_json_is_given_as_text(payload: bytes) -> None:
    document = json.loads(row_json(row(payload), payload))
    assert "event" not in document
    assert document["text"] == payload.decode("utf-8", "backslashreplace")
