"""What a watcher asks, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from server.audit_log.search.query import EventFilter, FoundEvent, Missing

Encode = Callable[[Sequence[FoundEvent]], bytes]
"""Encodes the events of an answer; called on a thread where there are many."""
Place = Mapping[str, int]
"""For each log the last sequence that is done with; a log that isn't named hasn't been begun with."""


@dataclass(frozen=True, slots=True)
class WatchQuery:
    """What is watched. Without `after` and `received_from_ms`: what is committed from now on."""

    wanted: EventFilter = field(default_factory=EventFilter)
    after: Place | None = None
    received_from_ms: int | None = None
    """Ms since 1970."""
    storage: str = "active"


@dataclass(frozen=True, slots=True)
class Watched:
    """What came, and how far everything was looked at."""

    events: Sequence[FoundEvent]
    place: Place
    caught_up: bool
    """Nothing that was committed by now is left to look at."""
    missing: Sequence[Missing] = ()
    encoded: bytes = b""
    """The events, as whoever began the watch has them encoded."""
