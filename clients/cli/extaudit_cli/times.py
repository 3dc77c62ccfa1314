"""Times as people give and see them. What has no offset of its own is UTC, and so is all that is shown."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

TIMES: Final = """
A TIME is RFC 3339 (2026-11-01T10:00:00Z, 2026-11-01T11:00:00+01:00), a time or date without an offset, which is UTC
(2026-11-01T10:00, 2026-11-01), now, today, yesterday (their midnight in UTC), or how long ago (-90s, -30m, -1h, -7d,
-2w, -1d12h). Times are shown in UTC."""
"""For the help of commands that take times."""

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)([Zz]|[+-]\d\d:\d\d)?)?", re.ASCII)
_RELATIVE = re.compile(r"-((?:\d{1,9}[smhdw])+)", re.ASCII)
_DURATION = re.compile(r"(?:\d{1,9}[smhdw])+", re.ASCII)
_PART = re.compile(r"(\d+)([smhdw])", re.ASCII)
_OFFSET = re.compile(r"(?:(?:(\d{1,6}):)?(\d{1,6}):)?(\d{1,9})(?:\.(\d{1,3}))?", re.ASCII)
_MAX_SECONDS = 365_000 * 86_400
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_time(text: str, now: datetime) -> datetime:
    """Read a time of the forms that TIMES names, in UTC.

    Raises:
        ValueError: it is none of them, or out of range.
    """
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    words = {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if text in words:
        return words[text]
    moment, relative = _MOMENT.fullmatch(text), _RELATIVE.fullmatch(text)
    try:
        if relative:
            return now - timedelta(seconds=_seconds(relative[1]))
        if moment:
            day, clock, offset = moment[1], moment[2] or "00:00", (moment[3] or "Z").upper()
            return datetime.fromisoformat(f"{day}T{clock}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text} isn't in the calendar, or further away than times reach") from None
    raise ValueError(
        f"'{text[:80]}' is none; a time is RFC 3339 (2026-11-01T10:00:00Z), a time or date in UTC (2026-11-01T10:00, "
        "2026-11-01), now, today, yesterday, or how long ago (-30m, -1h, -7d)"
    )


def in_order(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Callback of the options `from_time` and `to_time`, in whichever order: refuses a range that holds nothing.

    Their values are times, or have one as `time`.
    """
    values = {**context.params, parameter.name: value}
    begin, end = (_moment(values.get(name)) for name in ("from_time", "to_time"))
    if begin is not None and end is not None and end <= begin:
        raise click.UsageError(f"--from {time_text(begin)} must be before --to {time_text(end)}", context)
    return value


def _moment(value: Any) -> datetime | None:
    found: datetime | None = value if value is None or isinstance(value, datetime) else value.time
    return found


def time_text(time: datetime) -> str:
    """Write a time as RFC 3339 in UTC with milliseconds, which `parse_time` reads again."""
    utc = time.astimezone(UTC) if time.tzinfo else time
    return f"{utc.year:04d}" + utc.strftime("-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"


def _seconds(text: str) -> int:
    """The seconds of a duration, whose form was checked."""
    return sum(int(count) * _SECONDS[unit] for count, unit in _PART.findall(text))


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
        seconds = _seconds(str(value)) if _DURATION.fullmatch(str(value)) else 0
        if not 0 < seconds <= _MAX_SECONDS:
            text = f"'{value}' is none; a duration is whole numbers with units: 90s, 30m, 8h, 7d, 4w, 1d12h"
            self.fail(text, param, ctx)
        return timedelta(seconds=seconds)


class FiniteRange(click.FloatRange):
    """A number within bounds; click's own takes not-a-number for one, and infinity where there is no upper bound."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the value, or fail as wrong usage."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no number", param, ctx)
        return number


class Offset(click.ParamType[int]):
    """An option's value that is a time since a session began, in ms: `90`, `1:30`, `1:02:03.5`."""

    name = "offset"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the value, or fail as wrong usage."""
        if isinstance(value, int):
            return value
        matched = _OFFSET.fullmatch(str(value))
        if matched is None:
            self.fail(f"'{value}' is none; a time in a session is seconds, M:SS or H:MM:SS", param, ctx)
        hours, minutes, seconds = (int(each or 0) for each in matched.groups()[:3])
        return ((hours * 60 + minutes) * 60 + seconds) * 1000 + int((matched[4] or "").ljust(3, "0"))
