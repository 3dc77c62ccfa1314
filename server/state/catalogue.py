"""The catalogue: the local table of known batches and objects, and its index in memory.

Rows are written first and indexed after, so what the index shows is durable. Rebuildable by listing the storages.
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import NamedTuple

from sqlalchemy import Connection, Engine, delete, insert, select

from server.service_events import JOURNAL_DAMAGED
from server.state import outbox
from server.state.catalogue_rows import CatalogueBatch, CatalogueObject
from server.state.database import writing
from server.state.diversions import Diversions
from server.state.ranges import rest
from server.state.tables import catalogue_batches, catalogue_objects, journal_holes

_EARLIEST, _LATEST = -(2**63), 2**63 - 1
_DEPARTURES = 10_000
"""Departures remembered; a walk through pages takes minutes."""


class BatchOverlaps(Exception):
    """Sequences of a batch are known to be in another one; which of the two holds is for people to find out."""


class Departure(NamedTuple):
    """A foreign object that was replaced or removed; watermarks below `revision` may have counted it."""

    object: CatalogueObject
    revision: int


class _Date:
    """The objects of one storage and date, and bounds that hold all their times."""

    def __init__(self) -> None:
        self.objects: list[CatalogueObject] = []
        self.foreign = 0
        """How many of them are foreign."""
        self.first_ms = _LATEST
        self.last_ms = _EARLIEST

    def add(self, object_: CatalogueObject) -> None:
        self.objects.append(object_)
        self.foreign += object_.is_foreign
        self.first_ms = min(self.first_ms, object_.first_ms)
        self.last_ms = max(self.last_ms, object_.last_ms)

    def remove(self, object_: CatalogueObject) -> None:
        self.objects.remove(object_)
        self.foreign -= object_.is_foreign


class Catalogue:
    """Known batches and objects. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.diversions = Diversions(engine)
        self._lock = threading.Lock()
        # Held from the commit to the index, so that no revision shows before a lower one does.
        self._changes = threading.Lock()
        self._dates: dict[str, dict[str, _Date]] = {}
        self._by_name: dict[tuple[str, str], CatalogueObject] = {}
        self._by_batch: dict[tuple[str, int], list[CatalogueObject]] = {}
        self._batches: dict[str, list[tuple[int, CatalogueBatch]]] = {}
        self._last_confirmed_ms: dict[str, int] = {}
        self._departures: deque[Departure] = deque(maxlen=_DEPARTURES)
        self._revision = 0
        with engine.connect() as connection:
            for row in connection.execute(select(catalogue_batches).order_by(catalogue_batches.c.first)):
                self._index_batch(CatalogueBatch(*row))
            for object_ in _read_objects(connection):
                self._index_object(object_)
            self._holes = _read_holes(connection)

    @property
    def revision(self) -> int:
        """The highest revision given to an object."""
        with self._lock:
            return self._revision

    def add_batch(self, batch: CatalogueBatch, objects: Sequence[CatalogueObject]) -> None:
        """Add a confirmed batch with its objects, durably; adding it again changes nothing.

        Raises:
            BatchOverlaps: another one has some of its sequences.
        """
        with self._changes:
            known = self.batch_from(batch.log_id, batch.first)
            if known is None or known.first > batch.last:
                self._add_batch(batch, objects)
            elif (known.storage, known.first, known.last) != (batch.storage, batch.first, batch.last):
                where = f"sequences {batch.first} to {batch.last} of log {batch.log_id}"
                raise BatchOverlaps(f"{where} are in another batch as well")

    def _add_batch(self, batch: CatalogueBatch, objects: Sequence[CatalogueObject]) -> None:
        with writing(self._engine).begin() as connection:
            connection.execute(insert(catalogue_batches).values(asdict(batch)))
            for object_ in objects:
                # What was found by listing before its batch record was becomes ours.
                _delete_object(connection, object_)
            stored = [_insert_object(connection, object_) for object_ in objects]
        with self._lock:
            self._index_batch(batch)
            for object_ in stored:
                self._index_object(object_)

    def add_foreign(self, objects: Sequence[CatalogueObject]) -> None:
        """Add or replace foreign objects, durably."""
        with self._changes:
            with writing(self._engine).begin() as connection:
                for object_ in objects:
                    _delete_object(connection, object_)
                stored = [_insert_object(connection, object_) for object_ in objects]
            with self._lock:
                for object_ in stored:
                    self._index_object(object_)

    def remove_foreign(self, objects: Sequence[CatalogueObject]) -> None:
        """Forget foreign objects that are there no more: what others put, others may take away."""
        with self._changes:
            with writing(self._engine).begin() as connection:
                for object_ in objects:
                    _delete_object(connection, object_)
                # Takes a revision for it: one that was given before or after tells which watermarks counted them.
                stored = [_insert_object(connection, object_) for object_ in objects]
                for object_ in stored:
                    _delete_object(connection, object_)
            with self._lock:
                for object_ in stored:
                    self._drop(object_)
                    self._revision = max(self._revision, object_.revision)

    def departed(self, storage: str, from_ms: int, to_ms: int, revision: int) -> list[CatalogueObject]:
        """Foreign objects with times in [from_ms, to_ms) that a watermark of this revision counted and that are gone.

        Remembered by this process alone.
        """
        with self._lock:
            return [
                gone.object
                for gone in self._departures
                if gone.object.revision <= revision < gone.revision
                and gone.object.storage == storage
                and gone.object.last_ms >= from_ms
                and gone.object.first_ms < to_ms
            ]

    def objects(self, storage: str, from_ms: int | None = None, to_ms: int | None = None) -> list[CatalogueObject]:
        """Objects of a storage that may hold times in [from_ms, to_ms)."""
        from_ms, to_ms = from_ms if from_ms is not None else _EARLIEST, to_ms if to_ms is not None else _LATEST
        with self._lock:
            dates = [
                date.objects.copy()  # looked through below: the event loop waits for this lock
                for date in self._dates.get(storage, {}).values()
                if date.last_ms >= from_ms and date.first_ms < to_ms
            ]
        return [
            object_
            for objects in dates
            for object_ in objects
            if object_.last_ms >= from_ms and object_.first_ms < to_ms
        ]

    def foreign_objects(self, storage: str, from_ms: int | None = None, to_ms: int | None = None) -> int:
        """How many foreign objects of a storage may hold times in [from_ms, to_ms). Looks at no date without one."""
        from_ms, to_ms = from_ms if from_ms is not None else _EARLIEST, to_ms if to_ms is not None else _LATEST
        with self._lock:
            return sum(
                object_.is_foreign and object_.last_ms >= from_ms and object_.first_ms < to_ms
                for date in self._dates.get(storage, {}).values()
                if date.foreign and date.last_ms >= from_ms and date.first_ms < to_ms
                for object_ in date.objects
            )

    def dates(self, storage: str) -> list[str]:
        """The dates that have, or had, objects."""
        with self._lock:
            return list(self._dates.get(storage, {}))

    def objects_of_date(self, storage: str, date: str) -> list[CatalogueObject]:
        """Objects of one date."""
        with self._lock:
            known = self._dates.get(storage, {}).get(date)
            return list(known.objects) if known is not None else []

    def object(self, storage: str, name: str) -> CatalogueObject | None:
        """One object by name."""
        return self._by_name.get((storage, name))

    def objects_of_batch(self, batch: CatalogueBatch) -> list[CatalogueObject]:
        """The objects of a confirmed batch, by name."""
        with self._lock:
            return sorted(self._by_batch.get((batch.log_id, batch.first), ()), key=lambda object_: object_.name)

    def batch(self, log_id: str, first: int) -> CatalogueBatch | None:
        """The confirmed batch that begins with this sequence."""
        found = self.batch_holding(log_id, first)
        return found if found is not None and found.first == first else None

    def batch_holding(self, log_id: str, sequence: int) -> CatalogueBatch | None:
        """The confirmed batch whose range holds this sequence."""
        found = self.batch_from(log_id, sequence)
        return found if found is not None and found.first <= sequence else None

    def batch_from(self, log_id: str, sequence: int) -> CatalogueBatch | None:
        """The confirmed batch whose range holds this sequence, or else the next one of its log."""
        with self._lock:
            batches = self._batches.get(log_id, [])
            index = bisect_left(batches, sequence, key=lambda item: item[1].last)
            return batches[index][1] if index < len(batches) else None

    def batches(self, log_id: str | None = None) -> list[CatalogueBatch]:
        """All confirmed batches, or those of one log, log by log in the order of sequences."""
        with self._lock:
            logs = sorted(self._batches.items()) if log_id is None else [(log_id, self._batches.get(log_id, []))]
            copies = [batches.copy() for _, batches in logs]
        return [batch for batches in copies for _, batch in batches]

    def batches_between(self, log_id: str, after: int, through: int, most: int) -> list[CatalogueBatch]:
        """The first `most` confirmed batches of a log that reach beyond `after` and not beyond `through`, in order."""
        with self._lock:
            batches = self._batches.get(log_id, [])
            start = bisect_right(batches, after, key=lambda item: item[1].last)
            end = bisect_right(batches, through, key=lambda item: item[1].last)
            return [batch for _, batch in batches[start : min(end, start + most)]]

    def storages(self) -> list[str]:
        """The storages that have, or had, objects."""
        with self._lock:
            return sorted(self._dates)

    def batch_before(self, log_id: str, first: int) -> CatalogueBatch | None:
        """The last confirmed batch of a log before this sequence."""
        with self._lock:
            batches = self._batches.get(log_id, [])
            index = bisect_left(batches, first, key=lambda item: item[0])
            return batches[index - 1][1] if index else None

    def confirmed(self) -> dict[str, int]:
        """For each log the last sequence of its confirmed batches."""
        with self._lock:
            return {log_id: batches[-1][1].last for log_id, batches in self._batches.items()}

    def settled(self) -> dict[str, list[tuple[int, int]]]:
        """For each log the ranges of sequences that are in a confirmed batch or known to be lost, in no order."""
        found: dict[str, list[tuple[int, int]]] = {}
        for log_id, first, last in self.holes():
            found.setdefault(log_id, []).append((first, last))
        for batch in self.batches():
            found.setdefault(batch.log_id, []).append((batch.first, batch.last))
        return found

    def last_confirmed_ms(self, storage: str) -> int | None:
        """When a batch of the storage was last confirmed."""
        with self._lock:
            return self._last_confirmed_ms.get(storage)

    def add_holes(self, holes: Iterable[tuple[str, int, int]], found_ms: int) -> None:
        """Record lost ranges durably, each with its audit event; those that are known already stay as they are."""
        with writing(self._engine).begin() as connection:
            known = {(row.log_id, row.first, row.last) for row in connection.execute(select(journal_holes))}
            new = [hole for hole in holes if hole not in known]
            for log_id, first, last in new:
                key = (journal_holes.c.log_id == log_id) & (journal_holes.c.first == first)
                connection.execute(delete(journal_holes).where(key))
                row = {"log_id": log_id, "first": first, "last": last, "found_ms": found_ms, "told": True}
                connection.execute(insert(journal_holes).values(row))
                lost = {"log_id": log_id, "first_sequence": first, "last_sequence": last}
                outbox.add(connection, {"event": JOURNAL_DAMAGED, "lost": lost})
            self._holes = _read_holes(connection)

    def found_again(self, log_id: str, ranges: Sequence[tuple[int, int]]) -> None:
        """What was taken for lost turned up in a storage: holes are less by these ranges, durably."""
        with writing(self._engine).begin() as connection:
            for row in connection.execute(select(journal_holes).where(journal_holes.c.log_id == log_id)).all():
                left = rest(row.first, row.last, ranges)
                if left != [(row.first, row.last)]:
                    key = (journal_holes.c.log_id == log_id) & (journal_holes.c.first == row.first)
                    connection.execute(delete(journal_holes).where(key))
                    for first, last in left:
                        piece = {**row._mapping, "first": first, "last": last}
                        connection.execute(insert(journal_holes).values(piece))
            self._holes = _read_holes(connection)

    def holes(self) -> list[tuple[str, int, int]]:
        """All lost ranges: log_id, first, last."""
        return list(self._holes)

    def _index_batch(self, batch: CatalogueBatch) -> None:
        insort(self._batches.setdefault(batch.log_id, []), (batch.first, batch), key=lambda item: item[0])
        before = self._last_confirmed_ms.get(batch.storage, batch.confirmed_ms)
        self._last_confirmed_ms[batch.storage] = max(before, batch.confirmed_ms)

    def _index_object(self, object_: CatalogueObject) -> None:
        self._drop(object_)
        self._dates.setdefault(object_.storage, {}).setdefault(object_.date, _Date()).add(object_)
        self._by_name[object_.storage, object_.name] = object_
        if not object_.is_foreign:
            self._by_batch.setdefault((object_.log_id, object_.first), []).append(object_)
        self._revision = max(self._revision, object_.revision)

    def _drop(self, object_: CatalogueObject) -> None:
        before = self._by_name.pop((object_.storage, object_.name), None)
        if before is not None:
            self._dates[before.storage][before.date].remove(before)
            if before.is_foreign:
                self._departures.append(Departure(before, object_.revision))
            else:
                self._by_batch[before.log_id, before.first].remove(before)


def _read_holes(connection: Connection) -> list[tuple[str, int, int]]:
    rows = connection.execute(select(journal_holes).order_by(journal_holes.c.log_id, journal_holes.c.first))
    return [(row.log_id, row.first, row.last) for row in rows]


def _delete_object(connection: Connection, object_: CatalogueObject) -> None:
    table = catalogue_objects
    connection.execute(delete(table).where(table.c.storage == object_.storage, table.c.name == object_.name))


def _insert_object(connection: Connection, object_: CatalogueObject) -> CatalogueObject:
    row = {field: getattr(object_, field) for field in CatalogueObject.__slots__ if field not in ("revision", "types")}
    row["date"] = object_.date
    row["types"] = None if object_.types is None else json.dumps(sorted(object_.types))
    result = connection.execute(insert(catalogue_objects).values(row))
    key = result.inserted_primary_key
    if key is None:
        raise RuntimeError("the state database gave no revision")
    return replace(object_, revision=key[0])


def _read_objects(connection: Connection) -> list[CatalogueObject]:
    rows = connection.execute(select(catalogue_objects).order_by(catalogue_objects.c.revision)).mappings()
    found = []
    for row in rows:
        values, types = {field: row[field] for field in CatalogueObject.__slots__}, row["types"]
        found.append(CatalogueObject(**values | {"types": None if types is None else frozenset(json.loads(types))}))
    return found
