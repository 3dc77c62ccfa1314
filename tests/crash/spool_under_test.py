"""A client's spool over files that forget, and what must be in it whatever came between."""

from __future__ import annotations

from pathlib import Path

from extaudit_client.spool.errors import SpoolFull
from extaudit_client.spool.reading import Reader
from extaudit_client.spool.spool import Spool

from tests.crash.forgetful_files import ForgetfulFiles

FOLDER = Path("spools/one")
SMALL = 512 * 1024
"""A bound of the spool at which a segment holds 64 KiB."""


class SpoolUnderTest:
    """Remembers what it took and gave, over several openings."""

    def __init__(self, files: ForgetfulFiles, *, durably: bool = True) -> None:
        self.files = files
        self.durably = durably
        self.taken: list[bytes] = []
        """Events of which `append` returned, in order."""
        self.tried: list[bytes] = []
        self.settled: set[bytes] = set()
        """Events that were settled, or may have been."""
        self.spool: Spool

    def open(self) -> None:
        self.spool = Spool(self.files, FOLDER, max_bytes=SMALL, durably=self.durably, now_ms=lambda: 7)

    def emit(self, *events: bytes) -> None:
        self.tried += events
        self.spool.append(events, 0)
        self.taken += events

    def send(self, count: int) -> list[bytes]:
        """Settle the next events, as when the service has acknowledged them."""
        batch = Reader(self.files, self.spool).read(count, 1 << 20)
        assert batch.lost == [], "nothing is damaged"
        events = [entry.event for entry in batch.entries]
        self.settled |= set(events)
        self.spool.settle(batch.through)
        return events

    def left(self) -> list[bytes]:
        reader, found = Reader(self.files, self.spool), []
        while (batch := reader.read(10, 1 << 20)).entries or batch.lost:
            assert batch.lost == [], "nothing is damaged"
            found += [entry.event for entry in batch.entries]
        return found

    def emit_when_there_is_room(self, *events: bytes) -> None:
        try:
            self.emit(*events)
        except SpoolFull:
            self.send(1000)
            self.emit(*events)

    def after(self, *, power_loss: bool, leaves_out: str = "") -> SpoolUnderTest:
        """The next life, on what this one left, without the syncs of one call site."""
        following = SpoolUnderTest(self.files.copy(power_loss=power_loss), durably=self.durably)
        following.files.leaves_out = lambda operation: bool(leaves_out) and operation.call_site == leaves_out
        following.taken, following.tried = list(self.taken), list(self.tried)
        following.settled = set(self.settled)
        following.open()
        return following

    def check(self) -> None:
        """What was taken and isn't settled is there, once and in order, and nothing that was never given."""
        left = self.left()
        assert left == sorted(set(left), key=self.tried.index), "an event is twice there, or out of order"
        missing = [event for event in self.taken if event not in self.settled and event not in left]
        assert missing == []


def work(life: SpoolUnderTest, name: str) -> None:
    """A life with everything in it: groups, segments that end, settled ones that go, a full spool."""
    event = b"%b-%%d-" % name.encode() + b"x" * 30_000
    life.open()
    number = 0
    for count in (1, 2, 4, 1, 3, 1, *(1,) * 14, 2):
        life.emit_when_there_is_room(*(event % (number + index) for index in range(count)))
        number += count
        if number < 9:
            life.send(count // 2)
        if count > 2:
            life.spool.rest()
    life.spool.close()
