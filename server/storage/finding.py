"""The port of engines that tell which stored objects hold matching rows. The rows themselves are read from the objects.

So an answer's rows come from bytes whose digest was compared, with their receipts, whatever an engine said.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol

from server.storage.query import Filters, Order

Place = tuple[int, str]
"""Where an object stands in a finding: the time in ms of its first matching row in the search's order, and its name."""


@dataclass(frozen=True, slots=True)
class FindRequest:
    """Objects of the dates `first_date` to `last_date`, both inclusive, that hold rows which pass `filters`.

    They come in `order` of their newest (or oldest) matching row, then of name, beyond `after`, at most `limit`.
    """

    filters: Filters
    first_date: str
    """`YYYY-MM-DD`."""
    last_date: str
    order: Order
    asked_by: Hashable
    """Whose query it is, for the queue and the budget."""
    limit: int = 10_000
    after: Place | None = None


@dataclass(frozen=True, slots=True)
class FoundObject:
    """An object that holds matching rows: how many, and their first and last time in ms since 1970."""

    name: str
    first_ms: int
    last_ms: int
    rows: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What an engine found; fewer objects than asked for mean that there are no more."""

    objects: tuple[FoundObject, ...]
    first_date: str
    """The dates that the engine can see, both inclusive, `YYYY-MM-DD`."""
    last_date: str
    bytes: int
    """That the engine read, which is what it costs."""
    requests: int
    """Calls that were made."""


class FinderUnsuited(Exception):
    """The engine can't be asked this, or isn't set up so that it may be trusted; the text says why, in our own words
    and without any value of the search."""


class FinderFailed(Exception):
    """The engine was asked and gave no answer; the text says why, in our own words."""


class FinderBusy(Exception):
    """Whoever asks has used up what one may; worth trying again after so many seconds."""

    def __init__(self, words: str, retry_after: float) -> None:
        super().__init__(words)
        self.retry_after = retry_after


class ObjectFinder(Protocol):
    """Tells which objects of a storage hold matching rows: all of them, and now and then one that holds none."""

    def find(self, request: FindRequest, deadline: float) -> Finding:
        """Ask the engine; blocks until `deadline` (of time.monotonic) at most.

        Raises:
            FinderUnsuited, FinderFailed, FinderBusy: see there.
            ScanTimeout: the deadline passed.
        """
        ...
