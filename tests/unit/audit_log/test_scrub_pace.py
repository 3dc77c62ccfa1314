"""The scrub takes its time: evenly over its period, within its rate, behind what callers wait for."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from prometheus_client import CollectorRegistry

from server.audit_log.scrub.scrubbing import Pace, Scrubbing
from server.audit_log.scrub.verification import Verification
from server.audit_log.search.digests import ObjectDigests
from server.files import DiskFiles
from server.observability.instruments import Instruments
from server.observability.scrub_metrics import ScrubMetrics
from server.state.catalogue import Catalogue, CatalogueBatch, CatalogueObject
from server.state.database import database_path, open_database
from server.state.storage_damage import SqlStorageDamage, Walk
from server.storage.embedded.storage import EmbeddedStorage
from tests.polling import until

LOG = "0123456789abcdef0123"
SIZE = 100_000
DIGEST = hashlib.sha256(bytes(SIZE)).hexdigest()


class Rig:
    """Two objects in a storage that the catalogue knows, and their batch record, which is missing."""

    def __init__(self, folder: Path, digest: str = DIGEST, **pace: object) -> None:
        self.engine = open_database(database_path(folder))
        storage = EmbeddedStorage(DiskFiles(), folder / "events")
        catalogue = Catalogue(self.engine)
        names = [f"2026-11-2{day}/{LOG}-1-2.parquet" for day in range(2)]
        for name in names:
            path = Path(storage.local_path(name))
            path.parent.mkdir()
            path.write_bytes(bytes(SIZE))
        found = [
            CatalogueObject("default", name, 1, SIZE, 0, 0, None, digest, log_id=LOG, first=1, last=2) for name in names
        ]
        catalogue.add_batch(CatalogueBatch("default", LOG, 1, 2, "", 0), found)
        self.store = SqlStorageDamage(self.engine)
        self.registry = CollectorRegistry()
        digests = ObjectDigests(storage)
        verification = Verification(storage, catalogue, frozenset, digests, self.store, now_ms)
        defaults: dict[str, object] = {
            "period_seconds": 0.1,
            "bytes_per_second": 2**30,
            "gives_way": lambda: False,
        }
        settings = Pace(**(defaults | pace))  # type: ignore[arg-type]
        self.scrubbing = Scrubbing(
            verification, self.store, ScrubMetrics(Instruments(self.registry, [])), settings, now_ms
        )

    @contextmanager
    def running(self) -> Iterator[Callable[[str], float]]:
        """Walk until the end of the block; gives a look at the counters."""
        thread = Thread(target=asyncio.run, args=[self.scrubbing.run()])
        thread.start()
        try:
            yield lambda name: self.registry.get_sample_value(f"extaudit_scrub_{name}_total") or 0.0
        finally:
            self.scrubbing.stop()
            thread.join()
            self.scrubbing.close()
            self.engine.dispose()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_it_waits_while_callers_wait(tmp_path: Path) -> None:
    asked: list[bool] = []

    def busy() -> bool:
        asked.append(True)
        return len(asked) < 10

    with Rig(tmp_path, gives_way=busy).running() as counted:
        until(lambda: asked)
        assert counted("objects") == 0
        until(lambda: counted("objects") >= 2)
    assert len(asked) >= 10


def test_it_reads_no_faster_than_its_rate(tmp_path: Path) -> None:
    began = time.monotonic()
    with Rig(tmp_path, bytes_per_second=2 * SIZE).running() as counted:
        until(lambda: counted("bytes") >= 2 * SIZE)
        until(lambda: counted("objects") >= 2)
    assert time.monotonic() - began >= 1.0


def test_it_spreads_its_reading_over_the_period(tmp_path: Path) -> None:
    rig = Rig(tmp_path, period_seconds=1.5)
    with rig.running() as counted:
        until(lambda: counted("objects") >= 2)
        walk = rig.store.walk()
    assert now_ms() - walk.begun_ms >= 900


def test_what_is_damaged_is_read_again_and_again_without_holding_up_the_walk(tmp_path: Path) -> None:
    with Rig(tmp_path, digest="0" * 64, bytes_per_second=4 * SIZE).running() as counted:
        until(lambda: counted("objects") >= 2)


@pytest.mark.parametrize("kept", [Walk(), Walk("2026-11-20/x", 1, None), Walk("x", 2, 3)])
def test_a_walk_is_kept_as_it_is(tmp_path: Path, kept: Walk) -> None:
    engine = open_database(database_path(tmp_path))
    store = SqlStorageDamage(engine)
    assert store.walk() == Walk()
    store.keep_walk(Walk("other", 9, 9))
    store.keep_walk(kept)
    assert store.walk() == kept
    engine.dispose()
