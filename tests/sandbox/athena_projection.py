"""Partition projection by date: which dates a table has, and where each one's files are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from tests.sandbox.athena_sql import BadQuery

_UNITS = "YEARS?|MONTHS?|WEEKS?|DAYS?|HOURS?|MINUTES?|SECONDS?"
_NOW = re.compile(rf"NOW(?:\s*([+-])\s*(\d+)\s*({_UNITS}))?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Projection:
    """Dates from `first` to `last`, both of them, and the template of their locations."""

    column: str
    first: date
    last: date
    template: str

    @property
    def prefix(self) -> str:
        """What every location begins with."""
        return self.template.partition("${")[0]

    def date_of(self, url: str) -> date | None:
        """The date in whose location a file is; None where it's in none of a date of the range."""
        before, _, after = self.template.partition("${" + self.column + "}")
        match = re.match(rf"{re.escape(before)}(\d{{4}}-\d{{2}}-\d{{2}}){re.escape(after)}", url, re.ASCII)
        try:
            found = date.fromisoformat(match.group(1)) if match else None
        except ValueError:
            return None
        return found if found is not None and self.first <= found <= self.last else None


def read_projection(
    parameters: Mapping[str, str], columns: Mapping[str, str], location: str, now: datetime
) -> Projection | None:
    """The projection of a table with these partition columns; None where it has none. Raises BadQuery."""
    if parameters.get("projection.enabled", "").lower() != "true":
        return None
    if list(columns.values()) != ["date"]:
        raise BadQuery("NOT_SUPPORTED: the sandbox projects one partition column, of type date")
    name = next(iter(columns))
    settings = {
        key.removeprefix(f"projection.{name}."): value
        for key, value in parameters.items()
        if key.startswith(f"projection.{name}.")
    }
    if settings.get("type") != "date" or settings.get("format") != "yyyy-MM-dd":
        raise BadQuery(f"INVALID_TABLE_PROPERTY: projection.{name} must be a date of the format yyyy-MM-dd")
    if (settings.get("interval", "1"), settings.get("interval.unit", "DAYS").upper()) != ("1", "DAYS"):
        raise BadQuery(f"NOT_SUPPORTED: the sandbox projects {name} day by day")
    first, comma, last = settings.get("range", "").partition(",")
    if not comma:
        raise BadQuery(f"INVALID_TABLE_PROPERTY: projection.{name}.range needs two dates")
    template = parameters.get("storage.location.template", f"{location.rstrip('/')}/{name}=${{{name}}}/")
    if template.count("${") != 1 or "${" + name + "}" not in template:
        raise BadQuery("INVALID_TABLE_PROPERTY: storage.location.template must name each partition column")
    ending = template if template.endswith("/") else f"{template}/"
    return Projection(name, _day(first, now), _day(last, now), ending)


def _day(text: str, now: datetime) -> date:
    text = text.strip()
    if match := _NOW.fullmatch(text):
        sign, number, unit = match.groups()
        return _moved(now, int(f"{sign}{number}"), unit).date() if unit else now.date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadQuery(f"INVALID_TABLE_PROPERTY: {text!r} is no bound of a range of dates") from None


def _moved(now: datetime, number: int, unit: str) -> datetime:
    unit = unit.lower().rstrip("s")
    if unit in ("year", "month"):
        months = now.year * 12 + now.month - 1 + number * (12 if unit == "year" else 1)
        year, month = divmod(months, 12)
        for day in range(now.day, 0, -1):
            try:
                return now.replace(year=year, month=month + 1, day=day)
            except ValueError:
                continue
    return now + timedelta(**{f"{unit}s": number})
