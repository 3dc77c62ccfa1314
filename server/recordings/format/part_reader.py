"""One part of a recording, unpacked and cut into events."""

from __future__ import annotations

from collections.abc import Iterator

from server.recordings.format.gzip_member import GzipMember
from server.recordings.format.items import Damage
from server.recordings.format.limits import MIB, Limits
from server.recordings.format.recorded_event import RecordedEvent, UnreadableRecord, read_event
from server.recordings.format.records import LostRecords, RecordCutter
from server.recordings.format.tally import Tally


class GivenUp(Exception):
    """The rest of a part isn't read; the message says why."""


class PartReader:
    """Reads the content of one part. `doubtful`: it was found by sight."""

    def __init__(self, limits: Limits, tally: Tally, number: int, position: int = 0, *, doubtful: bool = False) -> None:
        self._limits = limits
        self._tally = tally
        self._number = number
        self._position = position
        self._doubtful = doubtful
        self._given = 0
        self._bad = 0
        self.member = GzipMember()
        self.records = RecordCutter(limits.record_bytes)

    def feed(self, packed: bytes) -> Iterator[RecordedEvent | Damage]:
        """Give the events that these bytes complete. Raises BadMember and GivenUp."""
        try:
            for unpacked in self.member.feed(packed):
                self._hold_to_limits()
                yield from self._events(unpacked)
        except LostRecords as error:
            raise GivenUp(str(error)) from error

    def doubt(self) -> int:
        """Count the events given so far as doubtful, also in what they say of the order; gives how many they are."""
        self._tally.doubt(self._given)
        if not self._doubtful:
            self._tally.doubtful += self._given
        return self._given

    def _hold_to_limits(self) -> None:
        unpacked, packed = self.member.unpacked, self.member.packed
        if unpacked > self._limits.unpacked_bytes:
            raise GivenUp(f"a part unpacks to more than {self._limits.unpacked_bytes} bytes")
        if unpacked > MIB and unpacked > packed * self._limits.expansion:
            raise GivenUp(f"a part unpacks to more than {self._limits.expansion} times its size")

    def _events(self, unpacked: bytes) -> Iterator[RecordedEvent | Damage]:
        number, doubtful, takes = self._number, self._doubtful, self._tally.takes
        for record in self.records.cut(unpacked):
            if isinstance(record, int):
                yield from self._bad_record(f"a record of {record} bytes is over the limit")
                continue
            try:
                event = read_event(record, number, doubtful)
            except UnreadableRecord as error:
                yield from self._bad_record(str(error))
                continue
            if takes(event.index):
                self._given += 1
                self._tally.doubtful += doubtful
                yield event

    def _bad_record(self, reason: str) -> Iterator[Damage]:
        self._bad += 1
        yield from self._tally.damage(self._position, self._number, reason, self.records.position)
        if self._bad > self._limits.bad_records:
            raise GivenUp(f"more than {self._limits.bad_records} records of a part can't be read")
