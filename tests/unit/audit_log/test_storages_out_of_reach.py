"""Storages that can't be read: of one that never answers what is read waits, and nothing that is here waits behind it;
one that fails for a moment is asked again."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from server.audit_log.bucket_looks import Looked
from server.audit_log.export.chunk import ChunkId, ChunkQuery, ExportQuery
from server.audit_log.export.exports import Exports
from server.audit_log.export.listing import ChunkListing
from server.audit_log.export.tokens import ChunkTokens
from server.audit_log.search.query import EventFilter
from server.audit_log.stored_batches import StoredBatches
from server.audit_log.watching.log_reader import LogReader
from server.audit_log.watching.query import WatchQuery
from server.audit_log.watching.watches import Watches
from server.errors import Unavailable
from server.files import DiskFiles
from server.grpc_api.export_messages import encoded_block
from server.observability.export_metrics import ExportMetrics
from server.observability.instruments import Instruments
from server.storage.embedded.storage import EmbeddedStorage
from server.storage.ports import LocalPaths, StorageError, Wanted
from tests.contract.export_rig import Exporting
from tests.contract.search_rig import ALICE, SearchRig, duck_engine, event_json
from tests.loops import in_loop, until
from tests.unit.audit_log.watch_rig import WatchRig, encoded, uids

FAR = "far"


class Silent(EmbeddedStorage):
    """Gives its objects only once it is let to."""

    let = threading.Event()
    asked = threading.Event()

    @contextlib.contextmanager
    def local(self, objects: Sequence[Wanted], deadline: float | None = None) -> Iterator[LocalPaths]:
        self.asked.set()
        self.let.wait(60)
        with super().local(objects, deadline) as found:
            yield found


class Failing(EmbeddedStorage):
    """Gives its objects, as those that are on this machine anyway, and its records only once it is well again."""

    is_well = True

    def read_record(self, name: str, digest: str = "") -> bytes | None:
        if not self.is_well:
            raise StorageError("S3 doesn't answer")
        return super().read_record(name, digest)


@contextlib.contextmanager
def rig_with_far_storage(folder: Path, kind: type[EmbeddedStorage] = Silent) -> Iterator[SearchRig]:
    """One event of the default storage, then one of another one; both delivered."""
    Silent.let, Silent.asked = threading.Event(), threading.Event()

    def opened(at: Path, name: str) -> EmbeddedStorage:
        return kind(DiskFiles(), at, name)

    rig = SearchRig(folder, duck_engine(folder), others=(FAR,), open_other=opened)
    for uid, storage in (("here", "default"), ("there", FAR)):
        rig.log.writer.switch(storage)
        rig.emit(event_json(uid))
        rig.cut()
        rig.delivery_to(storage).deliver_next()
    yield rig
    Silent.let.set()
    rig.close()


@in_loop
async def test_an_export_of_it_holds_up_no_export_of_what_is_here(tmp_path: Path) -> None:
    with (
        rig_with_far_storage(tmp_path) as rig,
        ThreadPoolExecutor(1) as threads,
        ThreadPoolExecutor(1) as remote,
    ):
        exporting = Exporting(rig, threads, most=4)
        batches: Any = StoredBatches(rig.storages, rig.catalogue)
        metrics = ExportMetrics(Instruments(CollectorRegistry(), []))
        traces: Any = exporting.traces
        listing: Any = None
        exports = Exports(listing, batches, rig.catalogue, threads, traces, metrics, most=4, remote_threads=remote)
        here, there = (ChunkId.of(batch) for batch in rig.catalogue.batches())

        async def events(chunk: ChunkId) -> int:
            return sum(
                [block.events async for block in exports.events(exporting.access, ExportQuery(chunk), encoded_block)]
            )

        waiting = asyncio.create_task(events(there))
        await until(Silent.asked.is_set)
        try:
            assert await asyncio.wait_for(events(here), 60) == 1
            assert not waiting.done()
        finally:
            Silent.let.set()
        assert await waiting == 1


@in_loop
async def test_a_list_that_waits_for_what_others_put_there_holds_up_no_export_of_what_is_here(tmp_path: Path) -> None:
    asked, let = threading.Event(), threading.Event()

    def look(*_: object) -> Looked:
        asked.set()
        let.wait(60)
        return Looked()

    with (
        rig_with_far_storage(tmp_path) as rig,
        ThreadPoolExecutor(1) as threads,
        ThreadPoolExecutor(1) as remote,
    ):
        exporting = Exporting(rig, threads)
        listing = ChunkListing(rig.storages, rig.log.tail, rig.catalogue, ChunkTokens(b"k" * 32), look)
        batches, metrics = (
            StoredBatches(rig.storages, rig.catalogue),
            ExportMetrics(Instruments(CollectorRegistry(), [])),
        )
        traces: Any = exporting.traces
        exports = Exports(listing, batches, rig.catalogue, threads, traces, metrics, most=4, remote_threads=remote)
        here = ChunkId.of(rig.catalogue.batches()[0])
        access = exporting.access()
        waiting = asyncio.create_task(exports.chunks(access, ChunkQuery()))
        await until(asked.is_set)
        try:
            async with asyncio.timeout(60):
                assert [
                    block.events async for block in exports.events(lambda: access, ExportQuery(here), encoded_block)
                ]
            assert not waiting.done()
        finally:
            let.set()
        assert len((await waiting).chunks) == 2


@in_loop
async def test_a_watch_of_it_holds_up_no_watch_of_what_is_here(tmp_path: Path) -> None:
    with (
        rig_with_far_storage(tmp_path) as rig,
        ThreadPoolExecutor(1) as threads,
        ThreadPoolExecutor(1) as remote,
    ):
        base = WatchRig(rig, threads)
        reader = LogReader(
            rig.log.tail, rig.catalogue, StoredBatches(rig.storages, rig.catalogue), rig.log.journal.log_id
        )
        old = base.watches
        base.watches = Watches(
            reader,
            threads,
            old._service_log,
            base.notice,
            old._metrics,
            rig.storages,
            base.limits,
            remote_threads=remote,
        )

        async def first(storage: str) -> list[str]:
            watch = await base.watches.begin(base.rights, WatchQuery(storage=storage, after={}), encoded)
            return uids(await watch.next())

        waiting = asyncio.create_task(first(FAR))
        await until(Silent.asked.is_set)
        try:
            assert await asyncio.wait_for(first("default"), 60) == ["here"]
            assert not waiting.done()
        finally:
            Silent.let.set()
        assert await waiting == ["there"]


@in_loop
async def test_a_record_that_can_not_be_had_for_a_moment_costs_a_watch_no_event_and_no_emitter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named as unreadable it would be so for good: a place goes past it."""
    with rig_with_far_storage(tmp_path, Failing) as rig, ThreadPoolExecutor(1) as threads:
        watches = WatchRig(rig, threads)
        by_alice = WatchQuery(EventFilter(emitters=frozenset({ALICE.name})), storage=FAR, after={})
        monkeypatch.setattr(Failing, "is_well", False)
        with pytest.raises(Unavailable):
            await (await watches.watch(by_alice)).next()
        monkeypatch.undo()
        answer = await (await watches.watch(by_alice)).next()
        assert (uids(answer), answer and answer.missing) == (["there"], [])
