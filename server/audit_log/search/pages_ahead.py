"""Pages that are read before they are asked for: whoever walks through many asks for the next one in a moment."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import Final, Generic, TypeVar

from server.audit_log.search.merging import Span
from server.state.catalogue import CatalogueObject

_KEPT_BYTES: Final = 32 << 20
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


@dataclass(slots=True)
class _Ahead(Generic[Page]):
    asked: Asked
    page: Future[Page | None] = field(default_factory=Future)
    weight: int = 0


class PagesAhead(Generic[Page]):
    """Keeps each page until it is asked for, once, or newer ones take its room. Safe to use from several threads."""

    def __init__(self, most: int = _KEPT_BYTES) -> None:
        self._most = most
        self._lock = Lock()
        self._kept: OrderedDict[Span, _Ahead[Page]] = OrderedDict()

    def read(self, asked: Asked, make: Callable[[], tuple[Page | None, int]]) -> None:
        """Have a page made now, and kept for `take`: `make` gives it and its bytes; None where there is none."""
        ahead: _Ahead[Page] = _Ahead(asked)
        with self._lock:
            if asked.span in self._kept:
                return
            self._kept[asked.span] = ahead
        page: Page | None = None
        try:
            page, size = make()
            ahead.weight = max(size, _LEAST_BYTES)
        finally:
            ahead.page.set_result(page)
            self._bound(ahead)

    def take(self, asked: Asked, deadline: float) -> Page | None:
        """The page that was made of the same; waits where it is being made. None where there is none."""
        with self._lock:
            ahead = self._kept.pop(asked.span, None)
        if ahead is None or ahead.asked != asked:
            return None
        try:
            return ahead.page.result(max(0.0, deadline - monotonic()))
        except TimeoutError:
            return None

    def _bound(self, made: _Ahead[Page]) -> None:
        with self._lock:
            if made.page.result() is None and self._kept.get(made.asked.span) is made:
                del self._kept[made.asked.span]
            while len(self._kept) > 1 and sum(each.weight for each in self._kept.values()) > self._most:
                self._kept.popitem(last=False)
