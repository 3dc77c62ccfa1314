"""What of a range that is searched lies in storages that aren't: the periods in which another one was active."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from server.audit_log.search.query import Missing, MissingReason
from server.audit_log.timestamps import format_rfc3339
from server.state.diversions import Diversion
from server.storage.query import Filters

Periods = Sequence[tuple[int, str]]
"""Since when, in ms since 1970, a storage was active, until the next one was; before the first, the default one."""


class Elsewhere:
    """Names what an answer doesn't cover since it lies in another storage. Safe to use from several threads."""

    def __init__(
        self,
        periods: Callable[[], Periods] = tuple,
        switches: Callable[[], int] = int,
        diversions: Callable[[], Sequence[Diversion]] = tuple,
    ) -> None:
        """`periods` is asked anew after each of the `switches`, which are counted."""
        self._diversions = diversions
        self._read = periods
        self._switches = switches
        self._known: tuple[int, Periods] = (-1, ())

    def missing(
        self,
        selector: str,
        chosen: Collection[str],
        filters: Filters,
        unknown: Collection[str] = (),
        holds: Callable[[str], bool] = lambda storage: False,
    ) -> list[Missing]:
        """What to tell of an answer from the `chosen` storages. `holds` says whether one has events of the range.

        Of `active`, the periods in the asked range in which another storage was, and those in which events of the range
        were received late. Of `all`, the `unknown` storages, which have events and of which nothing says where they
        are, and of `active` those of them that no period tells of. Who names a storage gets what is in it, and is told,
        as of `active`, what was diverted to another one.
        """
        if selector == "all":
            return [_lost(storage) for storage in sorted(unknown)]
        if selector not in ("", "active"):
            return list(self._diverted(chosen, chosen, filters))
        periods = self._periods_of_others(chosen, filters, holds)
        untold = sorted({*unknown} - {storage for _, storage in self._periods()})
        lost = [_lost(storage) for storage in untold if filters.condition is not None or holds(storage)]
        return [*periods, *lost, *self._diverted(None, chosen, filters)]

    def _diverted(
        self, sources: Collection[str] | None, chosen: Collection[str], filters: Filters
    ) -> Iterator[Missing]:
        """What was diverted from one of the sources (None: from any) to a storage that isn't chosen."""
        found: dict[tuple[str, str], None] = {}
        for each in self._diversions():
            is_source = sources is None or each.storage in sources
            if is_source and each.to not in chosen and _is_asked(each, filters):
                found[each.storage, each.to] = None
        for storage, to in found:
            text = f"events that were to go to storage {storage} are in storage {to}; search it, or all"
            yield Missing(MissingReason.OTHER_STORAGE, to, "", text)

    def _periods(self) -> Periods:
        switches = self._switches()
        if self._known[0] != switches:
            self._known = switches, self._read()
        return self._known[1]

    def _periods_of_others(
        self, chosen: Collection[str], filters: Filters, holds: Callable[[str], bool]
    ) -> list[Missing]:
        periods = self._periods()
        if not periods:
            return []
        starts: list[int | None] = [None, *(since for since, _ in periods)]
        ends: list[int | None] = [*(since for since, _ in periods), None]
        found = []
        for storage, start, end in zip(["default", *(each for _, each in periods)], starts, ends, strict=True):
            if storage in chosen or start == end:
                continue
            is_after = filters.to_ms is not None and start is not None and start >= filters.to_ms
            is_before = filters.from_ms is not None and end is not None and end <= filters.from_ms
            if is_after or is_before:
                # Whom roles show some events only must not learn the times of the others, one question after the other.
                is_asked = not is_before if filters.condition is not None else holds(storage)
            else:
                is_asked = True
            if is_asked:
                found.append(Missing(MissingReason.OTHER_STORAGE, storage, "", _text(storage, start, end)))
        return found


def _is_asked(diversion: Diversion, filters: Filters) -> bool:
    """Whether a batch may have events of the range; always for those whom roles show some events only, as above."""
    if filters.condition is not None:
        return True
    is_after = filters.to_ms is not None and diversion.first_ms >= filters.to_ms
    return not is_after and (filters.from_ms is None or diversion.last_ms >= filters.from_ms)


def _lost(storage: str) -> Missing:
    text = "nothing says where this storage is: `all` has what waits for it; for the rest promote the same place again"
    return Missing(MissingReason.OTHER_STORAGE, storage, "", text)


def _text(storage: str, start: int | None, end: int | None) -> str:
    since = "" if start is None else f" from {format_rfc3339(start)}"
    until = "" if end is None else f" to {format_rfc3339(end)}"
    return f"events received{since}{until} are in storage {storage}; search it, or all"
