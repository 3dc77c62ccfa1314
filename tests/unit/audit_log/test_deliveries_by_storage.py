"""Deliveries to several storages: each goes its own way, and what fails says so in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from server.audit_log.deliveries import Deliveries
from server.audit_log.deliveries_by_storage import DeliveriesByStorage
from server.audit_log.delivery import Delivery
from server.audit_log.storages import UnknownStorage
from server.audit_log.switch import JournalSwitch
from server.errors import Unavailable
from server.observability.metrics import Metrics
from server.storage.embedded.storage import EmbeddedStorage
from server.storage.ports import EventStorage, StorageError
from tests.contract.search_rig import SearchRig, duck_engine, event_json
from tests.loops import in_loop, until


class Unreachable(EmbeddedStorage):
    """Fails as long as it is away."""

    away = True

    def read_record(self, name: str) -> bytes | None:
        if self.away:
            raise StorageError("it is away")
        return super().read_record(name)


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
async def running(folder: Path, patience: float = 0.0) -> AsyncIterator[Rig]:
    log = SearchRig(folder, duck_engine(folder))
    far = Unreachable(log.storage._files, folder / "far", "far")

    def open_storage(storage_id: str) -> EventStorage:
        if storage_id != "far":
            raise UnknownStorage(storage_id)
        return far

    with ThreadPoolExecutor(4) as threads, ThreadPoolExecutor(1) as journal:

        def make(storage: EventStorage) -> Deliveries:
            delivery = Delivery(storage, log.log.tail, log.log.spool, log.catalogue, log.log.uid_files, log.log.journal)
            bears = 0.0 if storage.storage_id == "default" else patience
            metrics = Metrics([]).deliveries
            return Deliveries(delivery, threads, metrics, storage.storage_id, lambda: False, patience_seconds=bears)

        deliveries = DeliveriesByStorage(make)
        deliveries.add(log.storage)
        task = asyncio.create_task(deliveries.run())
        await asyncio.sleep(0)
        yield Rig(log, far, deliveries, JournalSwitch(log.log.writer, journal, log.storages, deliveries, open_storage))
        deliveries.stop()
        await asyncio.wait_for(task, 10)
    log.close()


@in_loop
async def test_a_storage_that_fails_holds_up_no_other_and_its_own_go_out_once_it_is_back(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await rig.switch.to("far")
        rig.log.emit(event_json("a"))
        await rig.switch.to("default")
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
