"""The emitter for asyncio: tasks share writes, wait for room, and leave the loop free."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit_client import AsyncEmitter, Connection, Emitter, InvalidRequest, Retries, SpoolClosed, SpoolFull
from extaudit_client.spool.spool import Spool

from tests.loops import in_loop, until
from tests.unit.client.fake_service import FakeService
from tests.unit.client.test_emitter import Stored

FAST = Retries(first_delay=0.01)


@pytest.fixture
def stored(service: FakeService) -> Stored:
    service.emit_stream = stored = Stored()
    return stored


@in_loop
async def test_many_tasks_emit_with_few_writes_and_all_arrives(
    connection: Connection, stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    plain = Spool.append

    def counted(spool: Spool, events: Any, *waiting: Any) -> None:
        writes.append(len(events))
        plain(spool, events, *waiting)

    monkeypatch.setattr(Spool, "append", counted)
    async with AsyncEmitter(connection, tmp_path, retries=FAST) as emitter:
        uids = await asyncio.gather(*(emitter.emit({"event": "e", "n": n}) for n in range(500)))
        await emitter.flush(60)
        assert (await emitter.stats()).sent == 500
    assert list(stored.events) == uids
    assert len(writes) < 50


@in_loop
async def test_a_full_spool_holds_back_tasks_and_not_the_loop(
    connection: Connection, service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, full, stored = threading.Event(), threading.Event(), Stored()
    wait_for_room = Spool._wait_for_room

    def noticed(spool: Spool, end: float | None) -> None:
        full.set()
        wait_for_room(spool, end)

    monkeypatch.setattr(Spool, "_wait_for_room", noticed)

    def hold(requests: Iterator[pb.EmitEventsRequest]) -> Iterator[pb.EmitEventsResponse]:
        release.wait(60)
        yield from stored(requests)

    service.emit_stream = hold
    options = {"max_bytes": 256 * 1024, "full_timeout": None, "retries": FAST}
    async with AsyncEmitter(connection, tmp_path, **options) as emitter:
        tasks = [asyncio.ensure_future(emitter.emit({"event": "e", "padding": "x" * 8_000})) for _ in range(100)]
        await until(lambda: full.is_set() and tasks[0].done())
        assert sum(task.done() for task in tasks) < 40
        release.set()
        uids = await asyncio.gather(*tasks)
        await emitter.flush(60)
    assert list(stored.events) == uids


@in_loop
async def test_all_who_wait_for_room_are_refused_when_their_time_is_over(
    connection: Connection, tmp_path: Path
) -> None:
    nowhere = Connection("127.0.0.1:1", connection.ca, connection.cert, connection.key)
    async with AsyncEmitter(nowhere, tmp_path, max_bytes=128 * 1024, full_timeout=0.6, retries=FAST) as emitter:
        calls = (emitter.emit({"event": "e", "padding": "x" * 8_000}) for _ in range(400))
        # At the same time: one after the other they would wait for longer than a test may take.
        found = await asyncio.gather(*calls, return_exceptions=True)
        taken = [each for each in found if isinstance(each, str)]
        assert {type(each) for each in found if not isinstance(each, str)} == {SpoolFull}
        assert await emitter.close(timeout=0) == len(taken) > 0


@in_loop
async def test_one_wrong_event_harms_no_other_and_a_closed_emitter_takes_none(
    connection: Connection, stored: Stored, tmp_path: Path
) -> None:
    emitter = AsyncEmitter(connection, tmp_path, retries=FAST)
    with pytest.raises(SpoolClosed):
        await emitter.emit({"event": "e"})
    async with emitter:
        found = await asyncio.gather(
            emitter.emit({"event": "a"}), emitter.emit(b"[]"), emitter.emit({"event": "b"}), return_exceptions=True
        )
        assert isinstance(found[1], InvalidRequest)
        await emitter.flush(60)
    assert [json.loads(event)["event"] for event in stored.events.values()] == ["a", "b"]
    with pytest.raises(SpoolClosed):
        await emitter.emit({"event": "e"})
    async with emitter:
        assert await emitter.emit({"event": "c"}), "it is opened again"


@in_loop
async def test_an_event_whose_write_has_not_begun_when_the_emitter_is_closed_is_sent(
    connection: Connection, stored: Stored, tmp_path: Path
) -> None:
    async with AsyncEmitter(connection, tmp_path, retries=FAST) as emitter:
        task = asyncio.ensure_future(emitter.emit({"event": "a"}))
        await asyncio.sleep(0)  # it waits now, for a write that is still to begin
        assert not task.done()
    await asyncio.wait({task}, timeout=60)
    assert task.done()
    assert list(stored.events) == [task.result()]


@in_loop
async def test_all_who_wait_when_the_emitter_is_closed_have_their_event_taken_or_are_told(
    connection: Connection, tmp_path: Path
) -> None:
    """There are more of them than there is room for, so that some wait for room and others for these."""
    nowhere = Connection("127.0.0.1:1", connection.ca, connection.cert, connection.key)
    emitter = await AsyncEmitter(nowhere, tmp_path, max_bytes=128 * 1024, full_timeout=None, retries=FAST).open()
    event = {"event": "e", "padding": "x" * 8_000}
    tasks = [asyncio.ensure_future(emitter.emit(event)) for _ in range(40)]
    await asyncio.sleep(0)
    left = await emitter.close(timeout=0)
    await asyncio.wait(tasks, timeout=60)
    assert all(task.done() for task in tasks)
    refused = [task.exception() for task in tasks if task.exception() is not None]
    assert {type(each) for each in refused} == {SpoolClosed}
    assert len(tasks) - len(refused) == left


@in_loop
async def test_a_close_that_is_cancelled_sends_no_longer_and_closes_all_the_same(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = Connection("127.0.0.1:1", connection.ca, connection.cert, connection.key)
    flushing, plain = threading.Event(), Emitter._flush

    def noticed(emitter: Emitter, *given: Any) -> None:
        flushing.set()
        plain(emitter, *given)

    monkeypatch.setattr(Emitter, "_flush", noticed)
    emitter = await AsyncEmitter(nowhere, tmp_path, retries=FAST).open()
    await emitter.emit({"event": "e"})
    closing = asyncio.ensure_future(emitter.close(timeout=3600))
    await until(flushing.is_set)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert await emitter.close(timeout=3600) == 1
    said = [record for record in caplog.records if "1 events stay in the spool" in record.message]
    assert [record.thread for record in said] == [threading.get_ident()], "told where nobody waits with a lock"
    again = await AsyncEmitter(nowhere, tmp_path, retries=FAST).open()
    assert await again.close(timeout=0) == 1
