"""Ranges of Athena's partition projection: which dates a table is looked for objects of."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

RANGE: Final = "projection.event_date.range"
_TEMPLATE: Final = "storage.location.template"
_FORMAT: Final = "projection.event_date.format"
_NOW: Final = re.compile(r"NOW(?:\s*([+-])\s*([0-9]{1,5})\s*(SECOND|MINUTE|HOUR|DAY|WEEK|MONTH|YEAR)S?)?", re.ASCII)
_DAYS: Final = {
    "SECOND": 1 / 86_400,
    "MINUTE": 1 / 1440,
    "HOUR": 1 / 24,
    "DAY": 1,
    "WEEK": 7,
    "MONTH": 30.4,
    "YEAR": 365.25,
}


def date_range(text: str, now: datetime | None = None) -> tuple[date, date] | None:
    """First and last date of `1970-01-01,NOW+2DAYS` or the like; None where it can't be read."""
    ends = [_end(each.strip(), now or datetime.now(UTC)) for each in text.split(",")]
    if len(ends) != 2 or ends[0] is None or ends[1] is None:
        return None
    return ends[0], ends[1]


def covers(told: str, wanted: str, now: datetime | None = None) -> bool:
    """Whether a range has every date of another; False where either can't be read."""
    has, needs = date_range(told, now), date_range(wanted, now)
    return has is not None and needs is not None and has[0] <= needs[0] and needs[1] <= has[1]


def is_as_planned(name: str, told: str, planned: str) -> bool:
    """Whether a parameter of the table, other than the range, means what is planned."""
    if name == _TEMPLATE:
        return told.rstrip("/") == planned.rstrip("/")
    return told == planned if name == _FORMAT else told.lower() == planned.lower()


def _end(text: str, now: datetime) -> date | None:
    matched = _NOW.fullmatch(text.upper())
    try:
        if matched is None:
            return date.fromisoformat(text) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII) else None
        if matched[1] is None:
            return now.date()
        days = int(matched[2]) * _DAYS[matched[3]]
        return (now + timedelta(days=days if matched[1] == "+" else -days)).date()
    except (ValueError, OverflowError):
        return None
