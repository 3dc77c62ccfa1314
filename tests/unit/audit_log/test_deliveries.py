"""Deliveries give way to callers that wait for the journal, but not for ever, and not at a stop."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from server.audit_log.deliveries import Deliveries
from server.files import write_durably
from server.observability.metrics import Metrics
from tests.crash.forgetful_files import ForgetfulFiles
from tests.crash.log_under_test import LogUnderTest, StateFile
from tests.loops import in_loop
from tests.unit.audit_log.test_intake import MIB, access, event, running, settle, submit

QUOTA = 64 * MIB


@pytest.fixture
def log(tmp_path: Path) -> LogUnderTest:
    """A log with one batch to deliver."""
    state = StateFile(tmp_path / "state.db")
    state.put()
    log = LogUnderTest(ForgetfulFiles(), state)
    log.emit(0, 1)
    log.log.writer.cut()
    return log


async def until(holds: Callable[[], bool]) -> None:
    """Poll, bounded by the test's own time limit."""
    while not holds():  # noqa: ASYNC110 -- nothing tells of it
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("left", [b"other bytes", None], ids=["changed", "gone"])
def test_what_went_bad_in_the_spool_is_encoded_once_more(log: LogUnderTest, left: bytes | None) -> None:
    """It may lie there for days while a storage is away, and the journal is trimmed on its word."""
    (section,) = log.log.tail.to_deliver("default")
    assert section.cut is not None
    item, *_ = log.log.spool.encode(section, section.cut).objects
    path = log.log.spool.object_path(section.cut, item.name)
    log.files.remove(path)
    if left is not None:
        write_durably(log.files, path, left)
    log.deliver_all()
    log.check()
    assert not log.log.tail.events


def test_a_batch_whose_files_stay_in_the_spool_is_delivered_all_the_same(
    log: LogUnderTest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It has left the journal by then: told as a failure it would be one until the next batch, with nothing waiting."""

    def failing(_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(log.log.spool, "discard", failing)
    log.deliver_all()
    assert not log.log.tail.events
    assert [each.message for each in caplog.records] == ["files of a delivered batch can't be removed from the spool"]


@in_loop
async def test_a_delivery_waits_while_it_gives_way_and_goes_on_after(log: LogUnderTest) -> None:
    asked = [0]
    busy = [True]

    def gives_way() -> bool:
        asked[0] += 1
        return busy[0]

    with ThreadPoolExecutor(1) as thread:
        deliveries = Deliveries(log.delivery, thread, Metrics([]).deliveries, "default", gives_way)
        task = asyncio.create_task(deliveries.run())
        await until(lambda: asked[0] >= 3)
        assert not log.records()
        busy[0] = False
        await until(lambda: not log.log.tail.to_deliver("default"))
        deliveries.stop()
        await asyncio.wait_for(task, 60)
    assert [record.first for record in log.records()] == [1]


@in_loop
async def test_a_stop_waits_for_no_delivery_that_gives_way(log: LogUnderTest) -> None:
    with ThreadPoolExecutor(1) as thread:
        deliveries = Deliveries(log.delivery, thread, Metrics([]).deliveries, "default", lambda: True)
        task = asyncio.create_task(deliveries.run())
        await settle()
        deliveries.stop()
        await asyncio.wait_for(task, 60)
    assert log.log.tail.to_deliver("default"), "it stays in the journal"


@in_loop
async def test_the_intake_goes_first_while_much_waits_and_the_journal_has_room() -> None:
    async with running(quota=QUOTA) as rig:
        assert not rig.intake.goes_first()
        go_on = rig.block()
        few = submit(rig, access(), [event(0, 100_000)])
        await settle()
        assert not rig.intake.goes_first(), "one message isn't much"
        many = [submit(rig, access(), [event(number, 60_000)]) for number in range(1, 6)]
        assert rig.intake.goes_first()
        rig.gate.observe(QUOTA // 2, 1024 * MIB)
        assert not rig.intake.goes_first(), "else a load that never ends would keep every batch in the journal"
        rig.gate.observe(0, 1024 * MIB)
        assert rig.intake.goes_first()
        go_on.set()
        await asyncio.gather(few, *many)
        assert not rig.intake.goes_first()
