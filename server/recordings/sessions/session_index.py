"""The session index as a whole: the generation that is shown, and how another is built while the service runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

from server.audit_log.foreign_looks import ForeignLooks
from server.audit_log.storages import Storages
from server.audit_log.tail import Tail
from server.recordings.sessions.following import LogFollower, told_by
from server.recordings.sessions.session_events import SessionEvent
from server.recordings.sessions.stored_events import StoredEvents
from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueBatch
from server.state.database import StateFault
from server.state.sessions import SqlSessionIndex
from server.storage.ports import ScanEngine

_log = logging.getLogger(__name__)
_BATCHES_AT_ONCE = 64
_EVENTS_AT_ONCE = 2_000
_BYTES_AT_ONCE = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReindexProgress:
    """How far a new index is built."""

    sessions: int
    """Found so far."""
    batches: int
    """Stored batches read so far."""
    done: bool = False
    missing: tuple[str, ...] = ()
    """What couldn't be read, in words."""


class SessionIndex:
    """Follows the log, and builds the index anew. Blocking; safe to use from several threads."""

    def __init__(
        self,
        index: SqlSessionIndex,
        tail: Tail,
        catalogue: Catalogue,
        storages: Storages,
        engine: ScanEngine,
    ) -> None:
        self._index = index
        self._tail = tail
        self._catalogue = catalogue
        self._stored = StoredEvents(storages, engine, catalogue)
        self._foreign = ForeignLooks(storages, catalogue, tail.pending)
        active, building = index.generations()
        self._shown = LogFollower(index, active, tail, catalogue)
        self._built: LogFollower | None = None
        self.is_unfinished = bool(building)
        """A new index was begun, and a stop or a fault came before it was whole."""
        self._building = threading.Lock()
        self._recall: Callable[[], object] = lambda: None

    def before_building(self, recall: Callable[[], object]) -> None:
        """Have this called before an index is built: it makes the state know again every recording that is stored."""
        self._recall = recall

    def close(self) -> None:
        """Look for no more events of others."""
        self._foreign.close()

    def follow(self) -> tuple[int, bool]:
        """Follow the log; gives the generation to read and whether it has all that could be read.

        Raises:
            StateFault: the database can't do it.
        """
        while True:
            shown = self._shown
            level = shown.follow()
            if shown is self._shown:  # else it may have been shown no more while it followed
                return shown.generation, level

    def before_leaving(self) -> None:
        """Follow the log before a section leaves the tail. How far is durable when this returns.

        Raises:
            StateFault: the database can't do it.
        """
        for follower in (self._shown, self._built):
            if follower is None:
                continue
            try:
                follower.follow(keep=True)
            except StateFault:
                raise
            except Exception:
                # No event may stop deliveries; an index that has fallen behind says so and is built anew.
                _log.exception("the session index can't follow the log")

    def missing(self, generation: int, *, is_level: bool, names: bool = True) -> tuple[str, ...]:
        """What the index misses, in words; without `names` not of which objects: they tell the dates of events."""
        gaps = sorted(self._index.gaps(generation).items())
        found = [f"{name} {note}" for name, note in gaps if names]
        if gaps and not names:
            found.append("some of the stored events couldn't be read")
        found += [
            f"events {first} to {last} of log {log_id} were lost to damage of the journal"
            for log_id, first, last in self._catalogue.holes()
        ]
        if not is_level:
            found.append("events of stored batches are yet to be read; the index is being built")
        return tuple(found)

    def rebuild(self, tell: Callable[[ReindexProgress], None], go_on: Callable[[], object] = lambda: None) -> None:
        """Build a new index from all that is stored and committed, and show it; goes on with one that a stop left.

        `tell` is told how far it is. `go_on` is called often; what it raises stops the building.

        Raises:
            StorageError, StateFault: it can't be done now; the next time it goes on.
        """
        with self._building:
            follower = LogFollower(self._index, self._index.begin_building(), self._tail, self._catalogue)
            self._built, self.is_unfinished = follower, True
            try:
                self._build(follower, tell, go_on)
                self._index.show(follower.generation)
                self._shown = follower
            finally:
                self._built = None
            self.is_unfinished = False
            tell(self._progress(follower, done=True))
            self._index.sweep()

    def _build(
        self, follower: LogFollower, tell: Callable[[ReindexProgress], None], go_on: Callable[[], object]
    ) -> None:
        # The foreign ones first: once the log is followed, deliveries keep it so.
        self._recall()
        self._index.add_uploaded(follower.generation)
        looked = self._foreign.refresh_all(go_on)
        unlisted = {f"{each.storage}/{each.name}": each.description for each in [*looked.gaps, *looked.of_others]}
        follower.take(told_by(()), {}, unlisted)
        self._stored.begin(go_on)
        self._take(follower, self._stored.of_foreign_objects(), {})
        while not follower.follow():
            # Listed first, so that the objects of each of them are known.
            waiting = [(pin.section.log_id, pin.section.first) for pin in self._tail.pin() if pin.length]
            confirmed = self._catalogue.batches()
            self._stored.begin(go_on)
            for batches in _unread(confirmed, follower, waiting):
                self._take(follower, self._stored.of_batches(batches), {batches[-1].log_id: batches[-1].last})
                tell(self._progress(follower))

    def _take(self, follower: LogFollower, events: Iterator[SessionEvent], logs: dict[str, int]) -> None:
        """Add events, some at a time, and how far logs are followed with the last of them."""
        while some := list(_some(events)):
            follower.take(told_by(some), {}, {})
        follower.take(told_by(()), logs, self._stored.gaps)

    def _progress(self, follower: LogFollower, *, done: bool = False) -> ReindexProgress:
        read = sum(batch.last <= follower.followed(batch.log_id) for batch in self._catalogue.batches())
        gaps = self.missing(follower.generation, is_level=True) if done else ()
        return ReindexProgress(self._index.count(follower.generation), read, done, gaps)


def _unread(
    confirmed: Sequence[CatalogueBatch], follower: LogFollower, waiting: Collection[tuple[str, int]]
) -> Iterator[list[CatalogueBatch]]:
    """The batches that the index hasn't followed, a few of one log at a time, up to the first section of the tail
    that it hasn't followed either: batches of other storages behind it come when that was."""
    for log_id, batches in groupby(confirmed, key=lambda batch: batch.log_id):
        followed = follower.followed(log_id)
        before = min((first for log, first in waiting if log == log_id and first > followed), default=2**63)
        unread = [batch for batch in batches if batch.last > followed and batch.last < before]
        for start in range(0, len(unread), _BATCHES_AT_ONCE):
            yield unread[start : start + _BATCHES_AT_ONCE]


def _some(events: Iterator[SessionEvent]) -> Iterator[SessionEvent]:
    """The next events, as many as are held in memory at once."""
    size = 0
    for event in islice(events, _EVENTS_AT_ONCE):
        yield event
        size += len(event.data)
        if size > _BYTES_AT_ONCE:
            return
