"""Times as people give them: RFC 3339, a date, or relative to now."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_RELATIVE = re.compile(r"-(\d{1,9})([smhdw])", re.ASCII)
_DURATION = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_OFFSET = re.compile(r"(?:(?:(\d{1,6}):)?(\d{1,6}):)?(\d{1,9})(?:\.(\d{1,3}))?", re.ASCII)
_MAX_SECONDS = 365_000 * 86_400
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_time(text: str, now: datetime) -> datetime:
    """Read a time, in UTC; a date is its midnight in UTC.

    Raises:
        ValueError: it is none of the forms, or out of range.
    """
    relative = _RELATIVE.fullmatch(text)
    try:
        if relative:
            return now - timedelta(seconds=int(relative[1]) * _SECONDS[relative[2]])
        if _DATE.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        if _RFC3339.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError:
        pass
    raise ValueError("a time is RFC 3339 (2024-05-01T12:00:00Z), a date (2024-05-01) or relative (-30m, -1h, -7d)")


class Time(click.ParamType[datetime]):
    """An option's value that is a time."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read the value, or fail as wrong usage."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_time(str(value), datetime.now(UTC))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Duration(click.ParamType[timedelta]):
    """An option's value that is a length of time: 30m, 8h, 7d; longer than none and at most 1,000 years."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read the value, or fail as wrong usage."""
        if isinstance(value, timedelta):
            return value
        matched = _DURATION.fullmatch(str(value))
        seconds = int(matched[1]) * _SECONDS[matched[2]] if matched else 0
        if not 0 < seconds <= _MAX_SECONDS:
            self.fail("a duration is a whole number with a unit: 90s, 30m, 8h, 7d, 4w", param, ctx)
        return timedelta(seconds=seconds)


class Offset(click.ParamType[int]):
    """An option's value that is a time since a session began, in ms: `90`, `1:30`, `1:02:03.5`."""

    name = "offset"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the value, or fail as wrong usage."""
        if isinstance(value, int):
            return value
        matched = _OFFSET.fullmatch(str(value))
        if matched is None:
            self.fail("a time in a session is seconds, M:SS or H:MM:SS", param, ctx)
        hours, minutes, seconds = (int(each or 0) for each in matched.groups()[:3])
        return ((hours * 60 + minutes) * 60 + seconds) * 1000 + int((matched[4] or "").ljust(3, "0"))
