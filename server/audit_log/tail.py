"""The tail: acknowledged events that are not yet in a confirmed batch, in memory, for searches to read.

A section is what one segment of the journal holds. Sections only grow at their end until they are cut, and leave as a
whole when their batch is in the catalogue, so a pin is a list of sections with the number of blocks each had.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from server.audit_log.columns.layout import TIME_MS, Table
from server.audit_log.cuts import Cut
from server.audit_log.event import Event, digest_of
from server.audit_log.event_block import EventBlock
from server.storage.query import Position


class TailRow(NamedTuple):
    """One event of the tail."""

    sequence: int
    received_ms: int
    receipt: bytes
    """The emitter and its peer as `receipts.encode_emitter` writes them."""
    event: Event

    @property
    def position(self) -> Position:
        """Its place in the order of searches."""
        return Position(self.event.time_ms, self.event.uid, digest_of(self.event.data))


class TailBlock(NamedTuple):
    """Committed events that came together, with sequences that follow each other."""

    first: int
    received_ms: int
    receipt: bytes
    block: EventBlock

    @property
    def last(self) -> int:
        """The last sequence."""
        return self.first + len(self.block) - 1

    def rows(self, from_ms: int, to_ms: int) -> Iterator[TailRow]:
        """The events whose time is in [from_ms, to_ms), in the order of sequences."""
        times = self.block.table[:, TIME_MS]
        for index in np.flatnonzero((times >= from_ms) & (times < to_ms)).tolist():
            yield TailRow(self.first + index, self.received_ms, self.receipt, self.block.event(index))


class CommitGroup(NamedTuple):
    """What one commit makes durable: blocks whose sequences follow each other, and the rows of all their tables."""

    blocks: Sequence[TailBlock]
    table: Table


ANY_TIME = -(2**62), 2**62
_RUN = 64
"""Blocks whose times are looked at together: reads leave a block each, and searches for other times pass them over."""


class Section:
    """The events of one segment. Written by the journal's thread alone."""

    def __init__(self, log_id: str, first: int, storage: str) -> None:
        self.log_id = log_id
        self.first = first
        self.storage = storage
        self.blocks: list[TailBlock] = []
        self.runs: list[tuple[int, int]] = []
        """Bounds of the times of each _RUN blocks, the last ones' too; never narrower than the blocks are."""
        self.cut: Cut | None = None
        self.damaged = False
        self.events = 0
        self.bytes = 0
        self.days: set[int] = set()
        """UTC days since 1970 that its events fall on."""

    def extend(self, blocks: Sequence[TailBlock]) -> None:
        """Add committed events."""
        for block in blocks:
            self.events += len(block.block)
            self.bytes += block.block.bytes
            self.days |= block.block.days
        self._widen(blocks)
        # Last, and at once: a pin taken meanwhile has all of a commit or nothing.
        self.blocks.extend(blocks)

    def _widen(self, blocks: Sequence[TailBlock]) -> None:
        for number, block in enumerate(blocks, len(self.blocks)):
            first, last = block.block.first_ms, block.block.last_ms
            if number % _RUN == 0:
                self.runs.append((first, last))
            else:
                before = self.runs[-1]
                self.runs[-1] = min(first, before[0]), max(last, before[1])

    @property
    def oldest_received_ms(self) -> int | None:
        """When its first event was received."""
        return self.blocks[0].received_ms if self.blocks else None


class Pinned(NamedTuple):
    """A section as it was when it was pinned: its first `length` blocks."""

    section: Section
    length: int

    @property
    def blocks(self) -> Sequence[TailBlock]:
        """The pinned blocks."""
        return self.section.blocks[: self.length]

    @property
    def last(self) -> int:
        """The last pinned sequence; the one before the section's first if it is empty."""
        return self.section.blocks[self.length - 1].last if self.length else self.section.first - 1

    def rows(self, from_ms: int = ANY_TIME[0], to_ms: int = ANY_TIME[1]) -> list[TailRow]:
        """The pinned events whose time is in [from_ms, to_ms)."""
        # Events that came by themselves have a block each, so most of what is left out is left out here.
        found: list[TailRow] = []
        for number, (first_ms, last_ms) in enumerate(self.section.runs[: -(-self.length // _RUN)]):
            if first_ms < to_ms and last_ms >= from_ms:
                blocks = self.section.blocks[number * _RUN : min((number + 1) * _RUN, self.length)]
                reached = [item for item in blocks if item.block.first_ms < to_ms and item.block.last_ms >= from_ms]
                found += [row for item in reached for row in item.rows(from_ms, to_ms)]
        return found


class Tail:
    """All sections, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sections: list[Section] = []
        self._left: dict[str, int] = {}

    def begin(self, log_id: str, first: int, storage: str) -> Section:
        """Begin a section at the end."""
        section = Section(log_id, first, storage)
        with self._lock:
            self._sections.append(section)
        return section

    def remove(self, section: Section) -> None:
        """Drop a section whose batch is in the catalogue."""
        with self._lock:
            self._sections.remove(section)
            last = section.blocks[-1].last if section.blocks else section.first - 1
            self._left[section.log_id] = max(last, self._left.get(section.log_id, 0))

    def divert(self, section: Section, storage: str) -> None:
        """Have a cut section belong to another storage. Who pinned it before reads it as it was."""
        if section.cut is None:
            raise ValueError("a section that isn't cut may take more events")
        other = Section(section.log_id, section.first, storage)
        other.extend(section.blocks)
        other.cut, other.damaged = section.cut.diverted(storage), section.damaged
        with self._lock:
            self._sections[self._sections.index(section)] = other

    def has(self, section: Section) -> bool:
        """Whether a section is there, and belongs where it did."""
        with self._lock:
            return section in self._sections

    def drop(self, section: Section) -> None:
        """Drop the open section, which has no events."""
        with self._lock:
            self._sections.remove(section)

    def pin(self) -> list[Pinned]:
        """Everything there is now. Pin first and plan from the catalogue after, and nothing falls between."""
        with self._lock:
            return [Pinned(section, len(section.blocks)) for section in self._sections]

    def pin_with_ends(self) -> tuple[list[Pinned], dict[str, int]]:
        """The same, and for each log that has or had sections the last sequence that was in one.

        What is up to there is pinned or in the catalogue: sections of several storages leave in any order.
        """
        with self._lock:
            pins = [Pinned(section, len(section.blocks)) for section in self._sections]
            ends = dict(self._left)
        for pin in pins:
            ends[pin.section.log_id] = max(pin.last, ends.get(pin.section.log_id, 0))
        return pins, ends

    def pending(self) -> set[tuple[str, int, int]]:
        """(log_id, first, last sequence) of every section: batches that may be on their way into a storage."""
        return {
            (section.log_id, section.first, pinned.last if section.cut is None else section.cut.last)
            for pinned in self.pin()
            for section in (pinned.section,)
        }

    def to_deliver(self, storage: str, most: int = 1) -> list[Section]:
        """The oldest cut sections of a storage, oldest first."""
        with self._lock:
            cut = (each for each in self._sections if each.storage == storage and each.cut is not None)
            return list(islice(cut, most))

    def of_storage(self, storage: str) -> list[Section]:
        """The sections of a storage, oldest first."""
        with self._lock:
            return [section for section in self._sections if section.storage == storage]

    def storages(self) -> set[str]:
        """The storages that have events here, whether or not anything is known of them."""
        return {pinned.section.storage for pinned in self.pin() if pinned.length}

    def storage_of(self, log_id: str, sequence: int) -> str | None:
        """The storage of the section that has this sequence; None where none has."""
        with self._lock:
            for section in self._sections:
                if section.log_id == log_id and section.blocks and section.first <= sequence <= section.blocks[-1].last:
                    return section.storage
        return None

    @property
    def cut_sections(self) -> int:
        """Number of sections that are cut: batches that wait for their delivery."""
        with self._lock:
            return sum(section.cut is not None for section in self._sections)

    @property
    def events(self) -> int:
        """Number of events."""
        return sum(pinned.section.events for pinned in self.pin())

    @property
    def bytes(self) -> int:
        """Bytes of JSON."""
        return sum(pinned.section.bytes for pinned in self.pin())

    @property
    def oldest_received_ms(self) -> int | None:
        """When the oldest event was received; None if there is none."""
        times = (pinned.section.oldest_received_ms for pinned in self.pin())
        return min((time for time in times if time is not None), default=None)
