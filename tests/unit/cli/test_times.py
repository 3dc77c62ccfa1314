from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import click
import pytest
from extaudit_cli.times import TIMES, Duration, parse_time, time_text

NOW = datetime(2026, 11, 28, 9, 30, 15, 250_000, tzinfo=UTC)
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-01", NOON.replace(hour=0)),
        ("2026-11-01T12:00", NOON),
        ("2026-11-01 12:00", NOON),
        ("2026-11-01T12:00:00", NOON),
        ("2026-11-01T12:00:00.5", NOON + timedelta(milliseconds=500)),
        ("2026-11-01T12:00Z", NOON),
        ("2026-11-01T14:00+02:00", NOON),
        ("2026-11-01T12:00:00Z", NOON),
        ("2026-11-01t14:00:00.000+02:00", NOON),
        ("2026-11-01T06:30:00-05:30", NOON),
        ("2026-11-01T12:00:00.123456789z", NOON + timedelta(microseconds=123_456)),
        ("now", NOW),
        ("today", datetime(2026, 11, 28, tzinfo=UTC)),
        ("yesterday", datetime(2026, 11, 27, tzinfo=UTC)),
        ("-0s", NOW),
        ("-90s", NOW - timedelta(seconds=90)),
        ("-90m", NOW - timedelta(minutes=90)),
        ("-1h", NOW - timedelta(hours=1)),
        ("-7d", NOW - timedelta(days=7)),
        ("-2w", NOW - timedelta(days=14)),
        ("-1d12h", NOW - timedelta(hours=36)),
    ],
)
def test_a_time_without_an_offset_is_utc(text: str, expected: datetime) -> None:
    found = parse_time(text, NOW)
    assert found == expected
    assert found.tzinfo == UTC


def test_today_is_that_of_utc_wherever_one_is() -> None:
    ahead = datetime(2026, 11, 29, 1, 0, tzinfo=timezone(timedelta(hours=14)))
    assert parse_time("today", ahead) == datetime(2026, 11, 28, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1h",
        "+1h",
        "-1y",
        "-h",
        "-",
        "-1h ",
        "Today",
        "tomorrow",
        "20261101",
        "2026-11",
        "2026-W01-1",
        "10:00",
        "2026-11-01T",
        "2026-11-01Z",
        "2026-11-01T10",
        "2026-11-01T10:00+0100",
        "2026-11-01T10:00 Z",
        "1790000000",
        "-1h1",
        "\u0662026-11-01",
        "-\u0661h",
    ],
)
def test_anything_else_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match=rf"'{re.escape(text)}' is none; .*RFC 3339 .*UTC.*now, today, yesterday.*-1h"):
        parse_time(text, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "2026-13-01",
        "2026-02-29",
        "2026-11-01T24:00",
        "2026-11-01T10:60",
        "2026-11-01T23:59:60Z",
        "0000-01-01",
        "0001-01-01T00:00+14:00",
        "9999-12-31T23:59-14:00",
        "2026-11-01T10:00+24:00",
        "-999999999w",
    ],
)
def test_a_time_outside_the_calendar_is_refused_as_that(text: str) -> None:
    with pytest.raises(ValueError, match="calendar"):
        parse_time(text, NOW)


@pytest.mark.parametrize(
    "time",
    [
        NOW,
        NOON,
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(987, 6, 5, 4, 3, 2, 1000, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
        NOON.astimezone(timezone(timedelta(hours=-3))),
    ],
)
def test_what_is_shown_is_read_again(time: datetime) -> None:
    assert parse_time(time_text(time), NOW) == time
    assert time_text(time).endswith("Z")


def test_the_help_names_only_what_is_read() -> None:
    named = TIMES.replace("\\\n", " ").replace("(", " ").replace(")", " ").replace(",", " ").split()
    examples = [word for word in named if word[:4] == "2026" or (word[0] == "-" and len(word) > 1)]
    assert len(examples) == 10
    for word in examples:
        parse_time(word.rstrip("."), NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("8h", 28_800), ("7d", 604_800), ("4w", 2_419_200), ("1d12h", 129_600)],
)
def test_a_duration_has_units(text: str, seconds: int) -> None:
    assert Duration().convert(text, None, None) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "0s", "0h0m", "-1h", "1", "1.5h", "h", "999999999w", "\u0661h"])
def test_a_duration_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="90s, 30m, 8h"):
        Duration().convert(text, None, None)
