"""The scrub takes its time: evenly over its period, within its rate, behind what callers wait for."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from prometheus_client import CollectorRegistry

from server.audit_log.scrub import scrubbing
from server.audit_log.scrub.scrubbing import Pace, Scrubbing
from server.audit_log.scrub.verification import Verification
from server.audit_log.search.digests import ObjectDigests
from server.audit_log.storages import Storages
from server.audit_log.taken_names import TakenNames
from server.files import DiskFiles
from server.observability.alerts.alerts import Alerts
from server.observability.instruments import Instruments
from server.observability.scrub_metrics import ScrubMetrics
from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueBatch, CatalogueObject
from server.state.database import database_path, open_database
from server.state.outbox import Outbox
from server.state.storage_damage import SqlStorageDamage, Walk
from server.storage.embedded.storage import EmbeddedStorage
from server.storage.ports import StorageError
from tests.polling import until

LOG = "0123456789abcdef0123"
SIZE = 100_000
DIGEST = hashlib.sha256(bytes(SIZE)).hexdigest()


class Rig:
    """Two objects in a storage that the catalogue knows, and their batch record, which is missing."""

    def __init__(
        self, folder: Path, digest: str = DIGEST, reader: type[EmbeddedStorage] = EmbeddedStorage, **pace: object
    ) -> None:
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
        storage = reader(DiskFiles(), folder / "events")
        digests = ObjectDigests(Storages(storage))
        self.object = names[0]
        taken = TakenNames(Outbox(self.engine), Alerts())
        self.verification = Verification(storage, catalogue, frozenset, digests, self.store, now_ms, taken)
        defaults: dict[str, object] = {
            "period_seconds": 0.1,
            "bytes_per_second": 2**30,
            "gives_way": lambda: False,
        }
        settings = Pace(**(defaults | pace))  # type: ignore[arg-type]
        self.scrubbing = Scrubbing(
            self.verification, self.store, ScrubMetrics(Instruments(self.registry, [])), settings, now_ms
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


class UnreadableStorage(EmbeddedStorage):
    """Whose disk gives EIO, which nothing brings about by itself: a folder can't be read either."""

    def local_path(self, name: str) -> str:
        return str(self._folder)

    def read_record(self, name: str, digest: str = "") -> bytes | None:
        raise StorageError("the embedded storage can't be read (Input/output error)")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_it_waits_while_callers_wait(tmp_path: Path) -> None:
    asked, free = list[bool](), Event()

    def busy() -> bool:
        asked.append(True)
        return not free.is_set()

    with Rig(tmp_path, gives_way=busy).running() as counted:
        until(lambda: len(asked) > 3)
        assert counted("objects") == 0
        free.set()
        until(lambda: counted("objects") >= 2)


def test_it_reads_no_faster_than_its_rate(tmp_path: Path) -> None:
    began = time.monotonic()
    with Rig(tmp_path, bytes_per_second=2 * SIZE).running() as counted:
        until(lambda: counted("bytes") >= 2 * SIZE)
        until(lambda: counted("objects") >= 2)
    assert time.monotonic() - began >= 1.0


def test_it_spreads_its_reading_over_the_period(tmp_path: Path) -> None:
    began = time.monotonic()
    with Rig(tmp_path, period_seconds=1.5).running() as counted:
        until(lambda: counted("objects") >= 2)
        assert time.monotonic() - began >= 0.9


def test_what_is_damaged_is_read_again_and_again_without_holding_up_the_walk(tmp_path: Path) -> None:
    with Rig(tmp_path, digest="0" * 64, bytes_per_second=4 * SIZE).running() as counted:
        until(lambda: counted("objects") >= 2)


def test_what_cannot_be_read_is_found_and_the_walk_comes_to_its_end(tmp_path: Path) -> None:
    rig = Rig(tmp_path, reader=UnreadableStorage)
    storage = EmbeddedStorage(DiskFiles(), tmp_path / "events")
    storage.put_record(f"{LOG}/1-2.json", b"{}")
    with rig.running():
        until(lambda: rig.store.walk().passed_ms)
        # A look finds the two objects missing, for a moment: this storage has no sizes either.
        until(lambda: any(": 3 unreadable;" in each.description for each in rig.scrubbing.warnings()))


def test_what_is_put_back_while_it_is_read_is_no_finding(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    path = tmp_path / "events" / rig.object
    path.write_bytes(b"x" * SIZE)

    def put_back(_: int) -> None:
        copy = path.with_suffix(".copy")
        copy.write_bytes(bytes(SIZE))
        copy.replace(path)

    rig.verification.check(rig.object, put_back)
    rig.engine.dispose()
    assert rig.verification.damage == {}


def test_a_storage_that_cannot_be_looked_through_is_a_problem_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrubbing, "_RETRY_SECONDS", 0.02)
    rig = Rig(tmp_path)
    away = tmp_path / "away"
    (tmp_path / "events").rename(away)
    (tmp_path / "events").touch()
    with rig.running():
        until(lambda: [each.name for each in rig.scrubbing.warnings()] == ["storage_unchecked"])
        (tmp_path / "events").unlink()
        away.rename(tmp_path / "events")
        until(lambda: "storage_unchecked" not in [each.name for each in rig.scrubbing.warnings()])


def test_a_walk_that_the_clock_says_begins_in_an_hour_goes_on(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.store.keep_walk(Walk("", now_ms() + 3_600_000, None))
    with rig.running() as counted:
        until(lambda: counted("objects") >= 2)


def test_a_walk_whose_end_the_clock_puts_before_its_begin_ends_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path, period_seconds=1000.0)
    rig.store.keep_walk(Walk("~", begun_ms := now_ms() + 3_600_000, None))
    with rig.running():
        until(lambda: (rig.store.walk().passed_ms or 0) >= begun_ms)


def test_a_walk_under_way_is_never_taken_for_done_though_the_last_one_ended_in_the_future(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, ahead = Rig(tmp_path), now_ms() + 3_600_000
    rig.store.keep_walk(Walk("~", ahead, ahead))
    kept: list[Walk] = []
    monkeypatch.setattr(rig.store, "keep_walk", kept.append)
    with rig.running():
        until(lambda: kept)
    assert kept[0].begun_ms < ahead
    assert (kept[0].passed_ms or 0) < kept[0].begun_ms


@pytest.mark.parametrize("kept", [Walk(), Walk("2026-11-20/x", 1, None), Walk("x", 2, 3)])
def test_a_walk_is_kept_as_it_is(tmp_path: Path, kept: Walk) -> None:
    engine = open_database(database_path(tmp_path))
    store = SqlStorageDamage(engine)
    assert store.walk() == Walk()
    store.keep_walk(Walk("other", 9, 9))
    store.keep_walk(kept)
    assert store.walk() == kept
    engine.dispose()
