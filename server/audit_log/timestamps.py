"""RFC 3339 times in milliseconds since 1970, UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

DAY_MS = 86_400_000
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_EPOCH = date(1970, 1, 1)


@lru_cache(maxsize=4096)
def _day_start_ms(day: str) -> int:
    return (date.fromisoformat(day) - _EPOCH).days * DAY_MS


_FRACTIONS = {"Z": 0} | {f".{ms:03d}Z": ms for ms in range(1000)}
"""The usual endings of a time in UTC."""


@lru_cache(maxsize=4096)
def _second_ms(second: str) -> int | None:
    """The time of `YYYY-MM-DDTHH:MM:SS` in UTC, or None if that isn't what it is."""
    try:
        return parse_rfc3339(second + "Z") if len(second) == 19 else None
    except ValueError:
        return None


def parse_event_time(text: str) -> int:
    """As `parse_rfc3339`, ten times as fast for the usual forms in UTC: events of one second share most of their text.

    Raises:
        ValueError: it isn't RFC 3339.
    """
    second_ms = _second_ms(text[:19])
    fraction_ms = _FRACTIONS.get(text[19:])
    if second_ms is None or fraction_ms is None:
        return parse_rfc3339(text)
    return second_ms + fraction_ms


def parse_rfc3339(text: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 time, further digits cut off.

    A leap second (23:59:60 UTC) is the first millisecond of the next day, as POSIX time counts.

    Raises:
        ValueError: it isn't RFC 3339.
    """
    match = _RFC3339.fullmatch(text) if len(text) <= 64 else None
    if match is None:
        raise ValueError("not RFC 3339")
    day, hour, minute, second, fraction, sign, offset_hour, offset_minute = match.groups()
    hours, minutes, seconds = int(hour), int(minute), int(second)
    if hours > 23 or minutes > 59 or seconds > 60:
        raise ValueError("not RFC 3339")
    time_ms = _day_start_ms(day) + ((hours * 60 + minutes) * 60 + seconds) * 1000
    if fraction:
        time_ms += int(fraction[:3].ljust(3, "0"))
    if sign:
        if int(offset_hour) > 23 or int(offset_minute) > 59:
            raise ValueError("not RFC 3339")
        offset_ms = (int(offset_hour) * 60 + int(offset_minute)) * 60_000
        time_ms -= offset_ms if sign == "+" else -offset_ms
    if seconds == 60 and time_ms % DAY_MS >= 1000:
        raise ValueError("a leap second is only at 23:59:60 UTC")
    return time_ms


def format_rfc3339(time_ms: int) -> str:
    """`2026-11-23T06:50:34.123Z`, always with three digits of a second."""
    seconds, ms = divmod(time_ms, 1000)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


@lru_cache(maxsize=4096)
def _date_of_day(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()


def utc_date(time_ms: int) -> str:
    """The UTC date, `YYYY-MM-DD`, that a time falls on."""
    return _date_of_day(time_ms // DAY_MS)
