"""A log that switches between two storages, on any file layer, and what was acknowledged of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from server.storage.embedded.storage import EmbeddedStorage
from tests.crash.lives import Moment
from tests.crash.log_under_test import ROOT, LogUnderTest, StateFile

OTHER, DEFAULT = "other", "default"
OTHER_FOLDER: Path = ROOT / "other" / "events"
SWITCHED = -1
"""Where `acknowledged` has the storages that may be active: one once a switch was answered, two while one is made."""


class SwitchingLog(LogUnderTest):
    """Two embedded storages; places name the storage that the acknowledgement named."""

    def others(self) -> Sequence[EmbeddedStorage]:
        return [EmbeddedStorage(self.files, OTHER_FOLDER, OTHER)]

    def place(self, storage: str, log_id: str) -> str:
        return f"{storage}/{log_id}"

    def switch(self, storage: str) -> None:
        """Switch, and note that it was answered."""
        before = self.log.journal.storage
        self.acknowledged[SWITCHED] = f"{before}|{storage}", 0
        self.log.writer.switch(storage)
        self.acknowledged[SWITCHED] = storage, 0

    def check_switched(self) -> None:
        """The journal says what the last switch that was answered did."""
        may_be, _ = self.acknowledged.get(SWITCHED, (DEFAULT, 0))
        assert self.log.journal.storage in may_be.split("|"), f"{self.log.journal.storage} is active, not {may_be}"
        assert self.storages.active == self.log.journal.storage

    def check(self, *, lost: frozenset[int] = frozenset()) -> None:
        super().check(lost=lost | {SWITCHED})

    def check_stored(self) -> None:
        """With everything delivered: each event is in an object of the storage that its acknowledgement names."""
        for storage in self.storages.ids():
            names = [item.name for item in self.catalogue.objects(storage)]
            there = {number for name in names for _, _, number in self.stored(name, "", storage)}
            named = {n for n, (place, _) in self.acknowledged.items() if n >= 0 and place.startswith(f"{storage}/")}
            assert named <= there, f"{sorted(named - there)} aren't in {storage}"


def switching_work(log: SwitchingLog, numbers: Iterator[int]) -> None:
    """Switches with events before and after, with none between, and deliveries that overtake each other."""
    log.emit(next(numbers), next(numbers))
    log.switch(OTHER)
    log.emit(next(numbers))
    log.switch(DEFAULT)
    log.emit(next(numbers), next(numbers))
    log.log.writer.cut()
    log.deliver_to(DEFAULT)
    log.switch(OTHER)
    log.switch(DEFAULT)
    log.switch(OTHER)
    log.emit(next(numbers))
    log.deliver_all()
    log.switch(DEFAULT)
    log.emit(next(numbers))
    log.log.journal.stop()


def check_switching_life(moment: Moment, state: StateFile) -> None:
    """Start again from what a stop left: each event is there once, where its acknowledgement says, and life goes on."""
    state.put(moment.state if moment.state[0] else None)
    acknowledged = dict(moment.acknowledged)
    files = moment.files.copy()
    again = SwitchingLog(files, state, acknowledged)
    assert not again.log.recovery.holes
    assert not again.log.is_copy
    again.check_switched()
    again.check()
    for number in sorted(acknowledged.keys() - {SWITCHED}):
        again.emit(number)  # a retry names the storage of the first acknowledgement
    again.emit(999)
    again.switch(OTHER if again.storages.active == DEFAULT else DEFAULT)
    switching_work(again, count(1000))
    again.check()
    last = SwitchingLog(files, state, acknowledged)
    last.check_switched()
    last.log.writer.cut()
    last.deliver_all()
    last.check()
    last.check_stored()
