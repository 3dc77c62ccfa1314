"""Deliveries to several storages: each goes its own way, and what fails says so in time."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from server.audit_log.deliveries import Deliveries
from server.audit_log.deliveries_by_storage import DeliveriesByStorage
from server.audit_log.delivery import Delivery
from server.audit_log.diverting import Diverting
from server.audit_log.storages import UnknownStorage
from server.audit_log.switch import JournalSwitch
from server.errors import Unavailable
from server.files import Files
from server.observability.metrics import Metrics
from server.storage.embedded.storage import EmbeddedStorage
from server.storage.ports import EventStorage, StorageError
from tests.contract.search_rig import SearchRig, duck_engine, event_json
from tests.crash.diverting_log import told
from tests.loops import in_loop, until


class Unreachable(EmbeddedStorage):
    """Fails as long as it is away, and hangs as long as it is held."""

    away = True

    def __init__(self, files: Files, folder: Path, storage_id: str) -> None:
        super().__init__(files, folder, storage_id)
        self.go_on = threading.Event()
        self.go_on.set()
        self.counting = threading.Lock()
        self.under_way = self.most = self.begun = 0
        self.holds_records = False
        self.has_forgotten = False
        self.at_record, self.go_on_with_records = threading.Event(), threading.Event()

    def put(self, name: str, spool_path: str, digest: str, size: int) -> None:
        with self.counting:
            self.begun += 1
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        self.go_on.wait(60)
        with self.counting:
            self.under_way -= 1
        if self.away:
            raise StorageError("it is away")
        super().put(name, spool_path, digest, size)

    def forget_copies(self) -> None:
        self.has_forgotten = True

    def put_record(self, name: str, data: bytes) -> None:
        if self.holds_records:
            self.at_record.set()
            self.go_on_with_records.wait(60)
            raise StorageError("it is away")
        super().put_record(name, data)


@dataclass
class Rig:
    """A log, a storage beside the default one that is away, and the deliveries."""

    log: SearchRig
    far: Unreachable
    deliveries: DeliveriesByStorage
    switch: JournalSwitch

    def waiting(self, storage: str) -> int:
        return len([each for each in self.log.log.tail.of_storage(storage) if each.cut])


@asynccontextmanager
async def running(folder: Path, patience: float = 0.0, at_once: int = 1) -> AsyncIterator[Rig]:
    log = SearchRig(folder, duck_engine(folder))
    far = Unreachable(log.storage._files, folder / "far", "far")

    def open_storage(storage_id: str) -> EventStorage:
        if storage_id != "far":
            raise UnknownStorage(storage_id)
        return far

    with ThreadPoolExecutor(16) as threads, ThreadPoolExecutor(1) as journal:

        def make(storage: EventStorage) -> Deliveries:
            parts = log.log.tail, log.log.spool, log.catalogue, log.log.uid_files, log.log.journal, log.log.proofs
            delivery = Delivery(storage, *parts)
            bears = 0.0 if storage.storage_id == "default" else patience
            metrics = Metrics([]).deliveries
            shared = delivery, threads, metrics, storage.storage_id, lambda: False
            return Deliveries(*shared, patience_seconds=bears, at_once=at_once)

        deliveries = DeliveriesByStorage(make)
        deliveries.add(log.storage)
        task = asyncio.create_task(deliveries.run())
        await asyncio.sleep(0)
        yield Rig(log, far, deliveries, JournalSwitch(log.log.writer, journal, log.storages, deliveries, open_storage))
        far.go_on.set()
        deliveries.stop()
        await asyncio.wait_for(task, 60)
    log.close()


@in_loop
async def test_a_storage_that_fails_holds_up_no_other_and_its_own_go_out_once_it_is_back(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await rig.switch.to("far")
        rig.log.emit(event_json("a"))
        assert not rig.far.has_forgotten
        await rig.switch.to("default")
        assert rig.far.has_forgotten, "what was fetched of a storage that is replaced is kept no longer"
        rig.log.emit(event_json("b"))
        rig.log.cut()
        rig.deliveries.wake()
        await until(lambda: not rig.waiting("default") and rig.deliveries.errors())
        assert (rig.deliveries.errors(), rig.waiting("far")) == ({"far": "it is away"}, 1)
        assert rig.deliveries.is_failing()
        rig.far.away = False
        await until(lambda: not rig.waiting("far"))
        await until(lambda: not rig.deliveries.errors())
        assert not rig.deliveries.is_failing()
        assert {batch.storage for batch in rig.log.catalogue.batches()} == {"default", "far"}


@in_loop
async def test_what_fails_for_a_moment_is_told_and_borne(tmp_path: Path) -> None:
    async with running(tmp_path, patience=60.0) as rig:
        await rig.switch.to("far")
        rig.log.emit(event_json("a"))
        rig.log.cut()
        rig.deliveries.wake()
        await until(rig.deliveries.errors)
        assert not rig.deliveries.is_failing()
        rig.far.away = False


@in_loop
async def test_a_switch_to_what_nothing_is_known_of_changes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        with pytest.raises(Unavailable, match="promote the same place again"):
            await rig.switch.to("nowhere")
        assert (rig.log.storages.active, rig.log.log.journal.storage) == ("default", "default")
        await rig.switch.to("default")
        assert rig.log.storages.switches == 0
        await rig.switch.to("far")
        await rig.switch.to("far")
        assert (rig.log.storages.switches, rig.log.storages.ids()) == (1, ("default", "far"))


@in_loop
async def test_a_switch_away_from_what_nothing_is_known_of_goes_well(tmp_path: Path) -> None:
    """A start does so where the state is lost and the journal's last marker names an external storage."""
    async with running(tmp_path) as rig:
        rig.log.log.writer.switch("lost")
        await rig.switch.to("default")
        assert rig.log.storages.active == rig.log.log.journal.storage == "default"


@in_loop
async def test_batches_go_out_at_once_within_the_bound_and_each_storage_has_its_own(tmp_path: Path) -> None:
    """One that hangs takes no other's; once it fails, one of its batches is tried at a time, and said once."""
    async with running(tmp_path, at_once=3) as rig:
        rig.far.away = False
        rig.far.go_on.clear()
        await rig.switch.to("far")
        for number in range(8):
            rig.log.emit(event_json(f"far-{number}"))
            rig.log.cut()
        rig.deliveries.wake()
        await until(lambda: rig.far.under_way == 3)
        await rig.switch.to("default")
        rig.log.emit(event_json("here"))
        rig.log.cut()
        rig.deliveries.wake()
        await until(lambda: not rig.waiting("default"))
        assert rig.waiting("far") == 8
        rig.far.go_on.set()
        await until(lambda: not rig.waiting("far"))
        assert rig.far.most == 3
        assert [batch.first for batch in rig.log.catalogue.batches() if batch.storage == "far"] == list(range(1, 9))


@in_loop
async def test_while_it_fails_one_batch_is_tried_at_a_time_and_the_reason_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "server.audit_log.deliveries")
    monkeypatch.setattr("server.audit_log.deliveries._FIRST_PAUSE", 0.01)
    async with running(tmp_path, at_once=3) as rig:
        await rig.switch.to("far")
        for number in range(4):
            rig.log.emit(event_json(f"{number}"))
            rig.log.cut()
        rig.deliveries.wake()
        await until(lambda: rig.far.begun >= 3 and rig.far.under_way == 0)
        await until(rig.deliveries.errors)
        rig.far.go_on.clear()
        await until(lambda: rig.far.under_way > 0)
        rig.far.most = rig.far.under_way
        rig.far.go_on.set()
        await until(lambda: rig.far.under_way == 0)
        assert rig.far.most == 1
        rig.far.away = False
        await until(lambda: not rig.waiting("far"))
        assert not rig.deliveries.errors()
    ours = [each for each in caplog.records if each.name == "server.audit_log.deliveries"]
    told = [(each.levelname, each.message) for each in ours if each.message != "batch delivered"]
    assert told == [
        ("ERROR", "a batch can't be delivered; it stays in the journal"),
        ("INFO", "batches can be delivered again"),
    ]


@in_loop
async def test_what_fails_only_after_it_was_diverted_is_no_failure(tmp_path: Path) -> None:
    """Nothing is left there to go well: health and status would tell of it until the next start."""
    async with running(tmp_path) as rig:
        rig.far.away, rig.far.holds_records = False, True
        await rig.switch.to("far")
        rig.log.emit(event_json("a"))
        await rig.switch.to("default")
        rig.log.cut()
        rig.deliveries.wake()
        await until(rig.far.at_record.is_set)
        taken = rig.log.log.tail, rig.log.catalogue, rig.log.storages
        Diverting(*taken, threading.Lock(), rig.deliveries.diverted).divert("far", "default", told)
        rig.far.go_on_with_records.set()
        await until(lambda: not rig.deliveries._by_storage["far"]._under_way)
        await until(lambda: not rig.waiting("default"))
        assert (rig.deliveries.errors(), rig.deliveries.is_failing()) == ({}, False)


@in_loop
async def test_while_a_storage_fails_one_batch_at_a_time_is_tried(tmp_path: Path) -> None:
    async with running(tmp_path, at_once=3) as rig:
        await rig.switch.to("far")
        for uid in "abc":
            rig.log.emit(event_json(uid))
            rig.log.cut()
        far = rig.deliveries._by_storage["far"]
        rig.deliveries.wake()
        await until(lambda: bool(far.last_error) and not far._under_way)
        rig.far.begun = 0
        rig.far.go_on.clear()
        await until(lambda: rig.far.begun > 0)
        assert len(far._under_way) == 1
