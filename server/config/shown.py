"""The settings in effect, each with its value and where it came from, for people and programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.config.loading import ReadSources
from server.config.settings import settings, tables


@dataclass(frozen=True, slots=True)
class ShownSetting:
    """One setting in effect."""

    name: str
    value: Any
    """As JSON has it; None where it isn't given and has no default of its own."""
    stands_for: str
    """In words, what holds where the value is None."""
    origin: str
    """`default`, `file`, or the name of the variable or flag."""
    reload: bool
    """True where SIGHUP puts a changed value into force."""


def shown_settings(read: ReadSources) -> Iterator[ShownSetting]:
    """All settings in order. None is a secret, but a URL's query may hold one, and is left out."""
    for each in settings():
        value = _plain(each.value_in(read.config))
        yield ShownSetting(each.name, value, each.shown, read.origin(each.key), each.reload)
    for table in tables():
        for number, entry in enumerate(table.value_in(read.config)):
            for each in table.settings():
                value = _plain(getattr(entry, each.field))
                name = f"{table.name}[{number}].{each.field}"
                yield ShownSetting(name, value, each.shown, read.origin(table.key), each.reload)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, str) and "://" in value and "?" in value:
        return value.partition("?")[0] + "?…"
    return value
