"""A log whose second storage is gone, diverted to the first, on any file layer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock

from server.audit_log.diverting import Backlog, Diverting
from server.audit_log.foreign import is_diverted
from server.audit_log.rebuilding import RECORD_NAME, recall
from server.audit_log.record_chain import batch_chained_before
from server.service_events import STORAGE_DIVERTED
from server.storage.embedded.storage import EmbeddedStorage
from server.storage.ports import StorageError
from tests.crash.lives import Moment
from tests.crash.log_under_test import PROOFS, StateFile
from tests.crash.switching_log import DEFAULT, OTHER, OTHER_FOLDER, SWITCHED, SwitchingLog


class HookedStorage(EmbeddedStorage):
    """Has something happen before a batch record is stored: its objects are there by then."""

    before_record: Callable[[], None] | None = None

    def put_record(self, name: str, data: bytes) -> None:
        if self.before_record is not None:
            self.before_record()
        super().put_record(name, data)


class DivertingLog(SwitchingLog):
    """Places are those of the acknowledgement, or of the diversion after it."""

    def others(self) -> Sequence[EmbeddedStorage]:
        self.other = HookedStorage(self.files, OTHER_FOLDER, OTHER)
        return [self.other]

    def diverting(self) -> Diverting:
        return Diverting(self.log.tail, self.catalogue, self.storages, Lock(), lambda storage: None)

    def divert(self) -> None:
        """Divert, and note where things are; a stop before it is answered leaves it done or undone as a whole."""
        self.diverting().divert(OTHER, DEFAULT, told)
        self.follow_diversions()

    def follow_diversions(self) -> None:
        """Have what is known to be diverted be expected where it is."""
        for number, (place, sequence) in list(self.acknowledged.items()):
            storage, _, log_id = place.partition("/")
            if storage == OTHER and self.catalogue.diversions.is_left(OTHER, log_id, sequence, sequence):
                self.acknowledged[number] = self.place(DEFAULT, log_id), sequence

    def check_left(self) -> None:
        """What came late to the storage that was gone is known as that, by its records and by its objects."""
        _added, refused, _unproven, late = recall(self.other, self.catalogue, lambda *_: True, PROOFS)
        unknown = [name for name in self.other.list_records() if not self._is_known(name)]
        assert (refused, late) == (0, len(unknown)), f"of {unknown}, {late} are known to be diverted"
        known = {item.name for item in self.catalogue.objects(OTHER)}
        names = {item.removeprefix(f"{OTHER_FOLDER}/") for item in self._objects_there()}
        assert all(is_diverted(self.catalogue, OTHER, name) for name in names - known)
        assert not any(is_diverted(self.catalogue, DEFAULT, name) for name in names)

    def _is_known(self, name: str) -> bool:
        match = RECORD_NAME.fullmatch(name)
        batch = self.catalogue.batch(match[1], int(match[2])) if match is not None else None
        return batch is not None and batch.storage == OTHER

    def _objects_there(self) -> Iterator[str]:
        for date in self.files.list(OTHER_FOLDER):
            if date != "_batches":
                yield from (f"{date}/{name}" for name in self.files.list(OTHER_FOLDER / date))

    def check_records(self) -> None:
        """The chain of what was diverted, and the one of what was always here, each lead from record to record."""
        for record in self.records():
            before = batch_chained_before(
                self.catalogue, record.log_id, record.first, record.storage, record.diverted_from
            )
            assert record.previous == (before.record_digest if before is not None else "")
            assert record.diverted_from == (OTHER if self.catalogue.diversions.of(record.log_id, record.first) else "")


def check_life_without_state(moment: Moment, state: StateFile) -> None:
    """Start again without the state database, and have everything delivered: each event lies in one storage, once, but
    for what came late to the one that is known to have lost it."""
    state.put(None)
    again = DivertingLog(moment.files.copy(), state, dict(moment.acknowledged))
    assert not again.log.recovery.holes
    tail = {(log_id, first) for log_id, first, _ in again.log.tail.pending()}
    recall(again.other, again.catalogue, lambda log_id, first, _: (log_id, first) not in tail, PROOFS)
    again.log.writer.cut()
    again.deliver_all()
    found: list[int] = []
    for storage in again.storages.all():
        folder = Path(storage.location())
        names = [f"{date}/{name}" for date in storage.dates() for name in again.files.list(folder / date)]
        there = [name for name in names if not is_diverted(again.catalogue, storage.storage_id, name)]
        found += [number for name in there for _, _, number in again.stored(name, "", storage.storage_id)]
    assert not moment.acknowledged.keys() - {SWITCHED, *found}, "an event is lost"
    assert len(found) == len({*found}), "an event is there twice"


def told(backlog: Backlog) -> Mapping[str, object]:
    """The event of a diversion."""
    return {"event": STORAGE_DIVERTED, "batches": backlog.batches}


def gone() -> None:
    """Nothing more can be stored."""
    raise StorageError("the bucket is gone")


def diverting_work(log: DivertingLog, numbers: Iterator[int]) -> None:
    """Batches for a storage that takes objects and no record, one of them half sent; they are diverted, also while one
    is sent, with deliveries to the default storage before and after, and switches between."""
    log.other.before_record = None
    log.emit(next(numbers), next(numbers))
    log.switch(OTHER)
    log.emit(next(numbers))
    log.log.writer.cut()
    log.deliver_to(OTHER)
    log.emit(next(numbers), next(numbers))
    log.log.writer.cut()
    log.emit(next(numbers))
    log.switch(DEFAULT)
    log.emit(next(numbers))
    log.log.writer.cut()
    log.deliver_to(DEFAULT)  # what follows the backlog is there before it
    log.other.before_record = gone
    with contextlib.suppress(StorageError):
        log.deliver_to(OTHER)
    log.divert()
    log.divert()
    log.deliver_all()
    log.switch(OTHER)
    log.emit(next(numbers))
    log.switch(DEFAULT)
    log.other.before_record = log.divert
    log.deliver_to(OTHER)
    log.other.before_record = None
    log.emit(next(numbers))
    log.deliver_all()
    log.log.journal.stop()


def check_diverting_life(moment: Moment, state: StateFile) -> None:
    """Start again from what a stop left: each event is there once, diverted or not, and life goes on."""
    state.put(moment.state if moment.state[0] else None)
    acknowledged = dict(moment.acknowledged)
    files = moment.files.copy()
    again = DivertingLog(files, state, acknowledged)
    assert not again.log.recovery.holes
    again.follow_diversions()
    again.check()
    for number in sorted(acknowledged.keys() - {SWITCHED}):
        again.emit(number)  # a retry is told where the event is now
    again.switch(OTHER if again.storages.active == DEFAULT else DEFAULT)
    again.emit(999)
    again.switch(DEFAULT)
    again.divert()
    again.deliver_all()
    again.check()
    again.emit(1000)
    again.log.journal.stop()
    last = DivertingLog(files, state, acknowledged)
    last.log.writer.cut()
    last.deliver_all()
    last.check()
    last.check_stored()
    last.check_records()
    last.check_left()
