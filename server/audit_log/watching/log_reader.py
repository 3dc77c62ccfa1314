"""Reading logs in their order, from any place to the end: stored batches, then the tail, never both, never neither.

Nobody is fed: whoever reads asks for what follows their place. So a reader that is slow reads stored batches, and
nothing waits in memory for it.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from server.audit_log.missing_ranges import diverted_range, lost_range
from server.audit_log.search.query import Missing
from server.audit_log.storages import DEFAULT
from server.audit_log.stored_batches import BatchRows, StoredBatches
from server.audit_log.tail import Pinned, Tail
from server.audit_log.watching.log_parts import ForeignPart, LogPart, LostPart, StoredPart, TailPart
from server.audit_log.watching.query import Place
from server.audit_log.weighted_cache import WeightedCache
from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueBatch

CACHED_BYTES = 64 * 1024 * 1024
_ROW_BYTES = 200
"""What a row of a batch in memory takes beside its JSON, about."""
_REMEMBERED_BATCHES = 100_000
_LOOKED_AHEAD = 32
"""Batches; a look has no more of them, but where they are small."""
_CLOCK_STEP_MS = 86_400_000
"""How far the clock may have been set back between an event's receipt and its batch's confirmation."""


class _Incomplete(Exception):
    """Carries a batch of which something is missing: it may be there again the next time."""

    def __init__(self, rows: BatchRows) -> None:
        self.rows = rows


class LogReader:
    """Gives what follows a place. Reads storages, so blocking, but for `backlog`; safe to use from several threads."""

    def __init__(self, tail: Tail, catalogue: Catalogue, batches: StoredBatches, log_id: str) -> None:
        """`log_id` is of the log that takes new events."""
        self._tail = tail
        self._catalogue = catalogue
        self._batches = batches
        self._log_id = log_id
        self._cache: WeightedCache[tuple[str, int], BatchRows] = WeightedCache(CACHED_BYTES)
        self._latest: WeightedCache[tuple[str, int], int] = WeightedCache(_REMEMBERED_BATCHES)

    def ends(self) -> dict[str, int]:
        """For each log, the oldest first, its last sequence that is committed or known to be lost; 0 if it has none."""
        return self._ends(self._tail.pin())  # first: what leaves the tail from here on is in the catalogue

    def _ends(self, pins: Sequence[Pinned]) -> dict[str, int]:
        ends = {self._log_id: 0} | self._catalogue.confirmed()
        for log_id, last in [*((pin.section.log_id, pin.last) for pin in pins), *self._hole_ends()]:
            ends[log_id] = max(last, ends.get(log_id, 0))
        return dict(sorted(ends.items()))

    def backlog(self, place: Place, most_bytes: int) -> int | None:
        """How many events follow the place; None if they are more than `most_bytes`, or not all in the tail."""
        pins = self._tail.pin()
        events = size = 0
        for log_id, end in self._ends(pins).items():
            done = place.get(log_id, 0)
            if done >= end:
                continue
            within = [pin for pin in pins if pin.section.log_id == log_id and pin.last > done]
            if not within or within[0].section.first > done + 1 or within[-1].last < end:
                return None
            for block in (item.block for pin in within for item in pin.section.blocks[_index(pin, done) : pin.length]):
                events += len(block)
                size += block.bytes
                if size > most_bytes:
                    return None
        return events

    def may_fetch(self, place: Place, storages: Collection[str] | None) -> bool:
        """Whether what of these storages (None: of all) follows the place next may have to be fetched from afar."""
        return any(
            batch.storage != DEFAULT and (storages is None or batch.storage in storages)
            for log_id, end in self._catalogue.confirmed().items()
            if place.get(log_id, 0) < end
            for batch in self._catalogue.batches_between(log_id, place.get(log_id, 0), end, _LOOKED_AHEAD)
        )

    def next(self, log_id: str, done: int, storages: Collection[str] | None = None) -> LogPart | None:
        """What follows the sequence `done` of a log; None at its end.

        Events of other storages than these are passed over; None stands for all.

        Raises:
            StorageError: it can't be read now; safe to try again.
        """
        wanted = done + 1
        # Looked for before all else: what stands before it is committed by now, and is pinned below or in the catalogue
        # after. Batches of other storages may be confirmed before it.
        following = self._catalogue.batch_from(log_id, wanted)
        # The tail is pinned first: what leaves it from here on is in the catalogue.
        pins = [pin for pin in self._tail.pin() if pin.section.log_id == log_id]
        for pin in pins:
            if pin.section.first <= wanted <= pin.last:
                return self._in_tail(pin, done, storages)
        batch = self._catalogue.batch_holding(log_id, wanted)
        if batch is not None:
            if storages is not None and batch.storage not in storages:
                return self._passed_over(log_id, batch.first, done, batch.last, storages)
            return StoredPart(self._rows(batch), done)
        starts = [pin.section.first for pin in pins if pin.length and pin.section.first > wanted]
        starts += [following.first] if following is not None else []
        lost = self._lost(log_id, wanted, min(starts, default=None))
        return LostPart(lost) if lost is not None else None

    def first_received_from(self, received_ms: int) -> Place:
        """The place before the first event of each log that was received at this time or later."""
        ends = self.ends()  # first: what is committed from here on is looked at as well
        pins = self._tail.pin()  # then, as above
        return {log_id: self._before(log_id, end, pins, received_ms) for log_id, end in ends.items()}

    def _before(self, log_id: str, end: int, pins: list[Pinned], received_ms: int) -> int:
        starts = [end]
        for batch in self._catalogue.batches(log_id):
            if batch.confirmed_ms < received_ms - _CLOCK_STEP_MS:
                continue  # all of it was received before it was confirmed
            if (latest := self._latest_received_ms(batch)) is not None and latest < received_ms:
                continue
            receipts = self._batches.receipts(batch)
            # Where nobody knows when they were received, rather too many events than too few.
            first = batch.first if receipts is None else receipts.first_received_from(received_ms)
            if first is not None:
                starts.append(first - 1)
                break
        # A batch of one storage may be confirmed before what stands before it and waits for another.
        items = (item for pin in pins if pin.section.log_id == log_id for item in pin.blocks)
        starts += [item.first - 1 for item in items if item.received_ms >= received_ms][:1]
        return min(starts)

    def _latest_received_ms(self, batch: CatalogueBatch) -> int | None:
        """When the last event of a batch was received; None where nobody knows. Read once: it takes milliseconds."""

        def read() -> tuple[int, int]:
            receipts = self._batches.receipts(batch)
            if receipts is None:
                raise LookupError
            return receipts.latest_received_ms, 1

        with contextlib.suppress(LookupError):
            return self._latest.get((batch.log_id, batch.first), read)
        return None

    def _in_tail(self, pin: Pinned, done: int, storages: Collection[str] | None) -> LogPart:
        section, blocks = pin.section, pin.section.blocks
        start = _index(pin, done)
        if blocks[start].first > done + 1:
            return LostPart(lost_range(section.storage, section.log_id, done + 1, blocks[start].first - 1))
        end = start + 1
        while end < pin.length and blocks[end].first == blocks[end - 1].last + 1:
            end += 1
        if storages is not None and section.storage not in storages:
            return self._passed_over(section.log_id, section.first, done, blocks[end - 1].last, storages)
        return TailPart(section.storage, section.log_id, blocks[start:end], done)

    def _passed_over(self, log_id: str, first: int, done: int, last: int, storages: Collection[str]) -> ForeignPart:
        """What follows `done` up to `last`, of a batch that begins at `first` and isn't in the storages asked for."""
        diversion = self._catalogue.diversions.of(log_id, first)
        if diversion is None or diversion.storage not in storages:
            return ForeignPart(last)
        return ForeignPart(last, replace(diverted_range(diversion, done), last_sequence=last))

    def _rows(self, batch: CatalogueBatch) -> BatchRows:
        def read() -> tuple[BatchRows, int]:
            rows = self._batches.read(batch)
            if rows.missing:
                raise _Incomplete(rows)
            return rows, len(rows.columns.sequences) * _ROW_BYTES + rows.columns.data.nbytes

        try:
            return self._cache.get((batch.log_id, batch.first), read)
        except _Incomplete as incomplete:
            return incomplete.rows

    def _lost(self, log_id: str, first: int, following: int | None) -> Missing | None:
        """The range from `first` on that is nowhere, up to what follows it; None if nothing says that it ever was."""
        holes = [(start, last) for log, start, last in self._catalogue.holes() if log == log_id and last >= first]
        ends = [last if start <= first else start - 1 for start, last in holes]
        ends += [following - 1] if following is not None else []
        storages = self._batches.storages
        return lost_range(storages.active, log_id, first, min(ends), storages.unread) if ends else None

    def _hole_ends(self) -> Iterator[tuple[str, int]]:
        return ((log_id, last) for log_id, _, last in self._catalogue.holes())


def beyond(place: Place, ends: Mapping[str, int]) -> list[tuple[str, int | None]]:
    """The logs of a place that it is wrong about: where it is beyond the end, which is given, or there is no log.

    A log of which nothing was given is right without being there: an empty one leaves no trace when it is replaced."""
    return [(log_id, ends.get(log_id)) for log_id, done in place.items() if done > ends.get(log_id, 0)]


def _index(pin: Pinned, done: int) -> int:
    """The index of the first pinned block that has a sequence above `done`."""
    return bisect_right(pin.section.blocks, done, hi=pin.length, key=lambda item: item.last)
