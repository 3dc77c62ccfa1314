"""The events of a recording as playback sees them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

PRINT: Final = "print"
_SIZED: Final = frozenset({"session.start", "resize", "session.join"})
LONGEST_MS: Final = 366 * 86_400_000
"""No session lasts longer; a time beyond is none."""
MAX_SIDE: Final = 1_000
"""Columns or rows of a terminal; more is no terminal's size."""


class Event(Protocol):
    """One event of a recording."""

    @property
    def type(self) -> str:
        """Its type, such as `print`."""
        ...

    @property
    def time(self) -> datetime:
        """When it happened."""
        ...

    @property
    def delay_ms(self) -> int:
        """Of a `print` or desktop event: ms since the session began."""
        ...

    @property
    def data(self) -> bytes:
        """Of a `print`: what was printed."""
        ...

    @property
    def json(self) -> bytes:
        """The event as JSON, without `data`; empty where it isn't known."""
        ...


@dataclass(frozen=True, slots=True)
class Moment:
    """An event and when it comes in the session."""

    offset_ms: int
    """Since the session began; never less than the event before."""
    event: Event

    @property
    def fields(self) -> dict[str, Any]:
        """The event's members; none where they aren't known."""
        found = json.loads(self.event.json) if self.event.json else {}
        return found if isinstance(found, dict) else {}

    @property
    def size(self) -> tuple[int, int] | None:
        """Columns and rows that the terminal has from now on; None where the event doesn't tell."""
        return _size(self.fields.get("size")) if self.event.type in _SIZED else None


def moments(events: Iterable[Event]) -> Iterator[Moment]:
    """When each event comes: by its delay if it is a `print`, else by its time since the first event.

    Clocks step, and delays may be anything: time never goes backwards.
    """
    begun: datetime | None = None
    offset = 0
    for event in events:
        if begun is None:
            begun = event.time
        passed = event.delay_ms if event.type == PRINT else int((event.time - begun).total_seconds() * 1000)
        if passed <= LONGEST_MS:
            offset = max(offset, passed)
        yield Moment(offset, event)


def _size(text: object) -> tuple[int, int] | None:
    if not isinstance(text, str):
        return None
    columns, _, rows = text.partition(":")
    if not (columns.isdecimal() and rows.isdecimal() and len(text) <= 16):
        return None
    size = int(columns), int(rows)
    return size if all(0 < side <= MAX_SIDE for side in size) else None
