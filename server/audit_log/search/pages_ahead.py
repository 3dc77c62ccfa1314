"""Pages that are read before they are asked for: whoever walks through many asks for the next ones in a moment."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import Final, Generic, TypeVar

from server.audit_log.search.merging import Span
from server.state.catalogue_rows import CatalogueObject

_KEPT_BYTES: Final = 32 << 20
_ENOUGH: Final = 8
"""Pages that wait; with a run on top of them twelve do."""
_LEAST_BYTES: Final = 1 << 20
"""What a page counts for however small it is, with the list of objects that it stands for."""

Page = TypeVar("Page")


@dataclass(frozen=True, slots=True)
class Asked:
    """All that decides what is on a page, but for whether its objects are there as they were stored."""

    span: Span
    counted: Mapping[str, int]
    """Of each log the last sequence that counts."""
    objects: Sequence[CatalogueObject]
    """Those with rows of the span's times, in the order of the plan."""


@dataclass(frozen=True, slots=True)
class Made(Generic[Page]):
    """A page that was read ahead, and what is free again when it and those before it are gone, in bytes."""

    asked: Asked
    page: Page
    size: int


@dataclass(slots=True)
class _Ahead(Generic[Page]):
    asked: Asked
    page: Future[Page | None] = field(default_factory=Future)
    weight: int = 0
    is_waited_for: bool = False

    def set(self, made: Made[Page]) -> None:
        self.weight = max(made.size, _LEAST_BYTES)
        self.page.set_result(made.page)


class PagesAhead(Generic[Page]):
    """Keeps each page until it is asked for, once, or newer ones take its room. Safe to use from several threads."""

    def __init__(self, most: int = _KEPT_BYTES) -> None:
        self._most = most
        self._lock = Lock()
        self._kept: OrderedDict[Span, _Ahead[Page]] = OrderedDict()

    def read(self, asked: Asked, make: Callable[[], Sequence[Made[Page]]]) -> tuple[Page | None, bool]:
        """Have a page made now, and kept for `take`: `make` gives it and those after it, as many as it will.

        Gives the last of them, and whether somebody waited for the first.
        """
        ahead: _Ahead[Page] = _Ahead(asked)
        with self._lock:
            if asked.span in self._kept:
                return None, False
            self._kept[asked.span] = ahead
        made: Sequence[Made[Page]] = ()
        try:
            made = make()
        finally:
            self._keep(ahead, made)
        return (made[-1].page if made else None), ahead.is_waited_for

    @property
    def waiting(self) -> int:
        """How many pages are kept or being made."""
        return len(self._kept)

    @property
    def has_enough(self) -> bool:
        """Whether no run is to be begun before it is needed: many pages wait, or for as much again the oldest, which
        are needed next, had to make room."""
        with self._lock:
            return len(self._kept) > _ENOUGH or 2 * self._weight() > self._most

    def found(self, span: Span) -> Page | None:
        """A page that is kept, without taking it."""
        with self._lock:
            ahead = self._kept.get(span)
        return ahead.page.result() if ahead is not None and ahead.page.done() else None

    def take(self, asked: Asked, deadline: float) -> Page | None:
        """The page that was made of the same; waits where it is being made. None where there is none."""
        with self._lock:
            ahead = self._kept.pop(asked.span, None)
        if ahead is None or ahead.asked != asked:
            return None
        ahead.is_waited_for = not ahead.page.done()
        try:
            return ahead.page.result(max(0.0, deadline - monotonic()))
        except TimeoutError:
            return None

    def _keep(self, ahead: _Ahead[Page], made: Sequence[Made[Page]]) -> None:
        with self._lock:
            if not made and self._kept.get(ahead.asked.span) is ahead:
                del self._kept[ahead.asked.span]
            for each in made[1:]:
                later = self._kept[each.asked.span] = _Ahead(each.asked)
                later.set(each)
            # Last: whoever gets this page may ask for the next one at once.
            if made:
                ahead.set(made[0])
            else:
                ahead.page.set_result(None)
            while len(self._kept) > 1 and self._weight() > self._most:
                self._kept.popitem(last=False)

    def _weight(self) -> int:
        return sum(each.weight for each in self._kept.values())
