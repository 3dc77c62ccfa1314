"""Diverting: what waits for a storage that is gone for good is delivered to another one.

The tombstones are durable before the first byte goes there. From then on the batches are the other storage's, whatever
turns up of them where they were to go: an attempt that was under way may end well hours later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from server.audit_log.storages import Storages
from server.audit_log.tail import Section, Tail
from server.errors import FailedPrecondition, NotFound
from server.state.catalogue import Catalogue
from server.state.diversions import Diversion


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for a storage: batches that aren't known to be there. Times are ms since 1970."""

    batches: int = 0
    events: int = 0
    bytes: int = 0
    """Of JSON."""
    sequences: tuple[tuple[str, int, int], ...] = ()
    """Log, first and last of each range."""
    oldest_received_ms: int | None = None
    newest_received_ms: int | None = None


class Diverting:
    """Looks at the backlog of a storage, and diverts it. Blocking; safe to use from several threads."""

    def __init__(
        self, tail: Tail, catalogue: Catalogue, storages: Storages, leaving: Lock, diverted: Callable[[str], object]
    ) -> None:
        """`leaving` is the lock under which deliveries take batches out of the tail; `diverted` is told of a storage
        that has no backlog any more."""
        self._tail = tail
        self._catalogue = catalogue
        self._storages = storages
        self._leaving = leaving
        self._diverted = diverted

    def backlog(self, storage_id: str) -> Backlog:
        """What a diversion would take out of a storage now.

        Raises:
            NotFound: nothing ever went to such a storage.
            FailedPrecondition: it is active.
        """
        self._check(storage_id)
        return _backlog(self._sections(storage_id))

    def divert(self, storage_id: str, to: str, event: Callable[[Backlog], Mapping[str, object]]) -> Backlog:
        """Divert all that waits for a storage, and tell it by an event; gives what it was. Nothing waits: no event.

        Raises:
            NotFound, FailedPrecondition: as `backlog`.
            StateFault: it can't be written down now. A restart may find it done.
        """
        self._check(storage_id)
        with self._leaving:  # no delivery to there takes one of them out of the tail meanwhile
            sections = self._sections(storage_id)
            backlog = _backlog(sections)
            if sections:
                self._catalogue.diversions.add([diversion_of(each, to) for each in sections], event(backlog))
            for section in sections:
                self._tail.divert(section, to)
        if sections:
            self._diverted(storage_id)
        return backlog

    def _check(self, storage_id: str) -> None:
        if storage_id == self._storages.active:
            text = "new data goes to this storage; disable it, or promote another one first"
            raise FailedPrecondition(text, reason="STORAGE_ACTIVE", storage=storage_id)
        known = {*self._storages.ids(), *self._catalogue.storages(), *(each.storage for each in self._all_left())}
        if storage_id not in known and not self._tail.of_storage(storage_id):
            raise NotFound("there is no such storage", storage=storage_id)

    def _all_left(self) -> Sequence[Diversion]:
        return self._catalogue.diversions.all()

    def _sections(self, storage_id: str) -> list[Section]:
        """Those that aren't known to be there; all are cut where the storage isn't active."""
        return [
            section
            for section in self._tail.of_storage(storage_id)
            if section.cut is not None and self._catalogue.batch(section.log_id, section.first) is None
        ]


def _backlog(sections: Sequence[Section]) -> Backlog:
    received = [block.received_ms for section in sections for block in section.blocks]
    return Backlog(
        len(sections),
        sum(section.events for section in sections),
        sum(section.bytes for section in sections),
        _ranges(sections),
        min(received, default=None),
        max(received, default=None),
    )


def _ranges(sections: Sequence[Section]) -> tuple[tuple[str, int, int], ...]:
    found: list[tuple[str, int, int]] = []
    for cut in sorted((each.cut for each in sections if each.cut is not None), key=lambda cut: (cut.log_id, cut.first)):
        if found and found[-1][0] == cut.log_id and found[-1][2] + 1 == cut.first:
            found[-1] = cut.log_id, found[-1][1], cut.last
        else:
            found.append((cut.log_id, cut.first, cut.last))
    return tuple(found)


def diversion_of(section: Section, to: str) -> Diversion:
    """The tombstone of a section that is cut."""
    blocks = [each.block for each in section.blocks]
    first_ms = min((block.first_ms for block in blocks), default=0)
    last_ms = max((block.last_ms for block in blocks), default=-1)
    last = section.cut.last if section.cut is not None else section.first - 1
    return Diversion(section.log_id, section.first, last, section.storage, to, int(first_ms), int(last_ms))
