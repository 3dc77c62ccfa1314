"""RFC 3339 in, milliseconds and dates out."""

from __future__ import annotations

import pytest

from server.audit_log.timestamps import DAY_MS, format_rfc3339, parse_event_time, parse_rfc3339, utc_date

NEW_YEAR_2017 = 1_483_228_800_000
LAST_MS = 253_402_300_799_999
"""The end of the year 9999."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.001Z", 1),
        ("1970-01-01T00:00:00.0009Z", 0),
        ("1970-01-01T00:00:00.1Z", 100),
        ("1970-01-01T00:00:00.12Z", 120),
        ("1970-01-01T00:00:00.123456789Z", 123),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01t00:00:00.123z", 123),
        ("1970-01-01T00:00:00+00:00", 0),
        ("1970-01-01T00:00:00-00:00", 0),
        ("1970-01-01T02:30:00+02:30", 0),
        ("1969-12-31T18:00:00.5-06:00", 500),
        ("1970-01-01T23:59:00+23:59", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("1969-12-31T23:59:59.9999Z", -1),
        ("1970-01-01T00:00:00+00:01", -60_000),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ("2016-12-31T23:59:59.999Z", NEW_YEAR_2017 - 1),
        ("2016-12-31T23:59:60Z", NEW_YEAR_2017),
        ("2016-12-31T23:59:60.25Z", NEW_YEAR_2017 + 250),
        ("2016-12-31T18:59:60.250-05:00", NEW_YEAR_2017 + 250),
        ("2017-01-01T05:29:60+05:30", NEW_YEAR_2017),
        ("2000-02-29T00:00:00Z", 951_782_400_000),
        ("9999-12-31T23:59:59.999Z", LAST_MS),
    ],
)
def test_a_time_is_milliseconds_since_1970_with_further_digits_cut_off(text: str, expected: int) -> None:
    assert parse_rfc3339(text) == expected
    assert parse_event_time(text) == expected
    assert parse_event_time(text) == expected, "the same again, from what is remembered"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Z",
        "2026-11-23",
        "2026-11-23T06:50:34",
        "2026-11-23T06:50Z",
        "2026-11-23 06:50:34Z",
        "2026-11-23T06:50:34.Z",
        "2026-11-23T06:50:34,5Z",
        "2026-11-23T06:50:34ZZ",
        "2026-11-23T06:50:34.123ZZ",
        "2026-11-23T06:50:34Z\n",
        "\n2026-11-23T06:50:34Z",
        " 2026-11-23T06:50:34Z",
        "2026-11-23T06:50:34.-12Z",
        "2026-11-23T06:50:34.1 Z",
        "2026-11-23T06:50:34+0100",
        "2026-11-23T06:50:34+01",
        "2026-11-23T06:50:34+1:00",
        "2026-11-23T06:50:34+24:00",
        "2026-11-23T06:50:34+00:60",
        "2026-11-23T06:50:34\u221201:00",
        "2026-11-23T06:50:34Z+01:00",
        "2026-11-23T24:00:00Z",
        "2026-11-23T06:60:00Z",
        "2026-11-23T06:50:61Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-11-31T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "26-11-23T06:50:34Z",
        "12026-11-23T06:50:34Z",
        "-2026-11-23T06:50:34Z",
        "2026-1-23T06:50:34Z",
        "20261123T065034Z",
        "2026-W48-1T06:50:34Z",
        "2026-327T06:50:34Z",
        "2026-11-23T06:50:60Z",
        "2016-12-31T23:59:60+01:00",
        "2016-12-31T23:58:60Z",
        "\u0662\u0660\u0662\u0666-11-23T06:50:34Z",
        "2026-11-23T06:50:34.\u0661Z",
        "1795413034",
        "2026-11-23T06:50:34." + "1" * 60 + "Z",
    ],
)
def test_what_is_not_rfc_3339_is_refused(text: str) -> None:
    for parse in (parse_rfc3339, parse_event_time, parse_event_time):
        with pytest.raises(ValueError):
            parse(text)


def test_the_fast_way_gives_what_the_exact_way_gives() -> None:
    seconds = ["2026-11-23T06:50:34", "2016-12-31T23:59:60", "2026-11-23T06:50:60", "1969-12-31T23:59:59", "2026-11-23"]
    endings = ["Z", "z", ".000Z", ".999Z", ".07Z", ".1234Z", "+00:00", ".5-01:00", "", ".Z", "ZZ", " Z", ".00Z0"]
    for text in (second + ending for second in seconds for ending in endings):
        assert _outcome(parse_event_time, text) == _outcome(parse_rfc3339, text), text


def _outcome(parse: object, text: str) -> int | None:
    try:
        return parse(text)  # type: ignore[operator, no-any-return]
    except ValueError:
        return None


@pytest.mark.parametrize(
    ("time_ms", "text", "day"),
    [
        (0, "1970-01-01T00:00:00.000Z", "1970-01-01"),
        (DAY_MS - 1, "1970-01-01T23:59:59.999Z", "1970-01-01"),
        (DAY_MS, "1970-01-02T00:00:00.000Z", "1970-01-02"),
        (NEW_YEAR_2017 - 1, "2016-12-31T23:59:59.999Z", "2016-12-31"),
        (NEW_YEAR_2017 + 7, "2017-01-01T00:00:00.007Z", "2017-01-01"),
        (LAST_MS, "9999-12-31T23:59:59.999Z", "9999-12-31"),
    ],
)
def test_a_time_is_written_to_the_millisecond_and_read_back_the_same(time_ms: int, text: str, day: str) -> None:
    assert format_rfc3339(time_ms) == text
    assert parse_rfc3339(text) == time_ms
    assert utc_date(time_ms) == day
