"""A disk that is full, read-only or fails to sync, and a second process on it: nothing acknowledged is lost, and the
service says what is wrong."""

from __future__ import annotations

import errno
import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from extaudit_client import Client, ExtauditError, Position, Query
from extaudit_client.files import find_connection
from extaudit_client.retries import Retries
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server.config import JournalSection
from tests.crash.faulty_disk import FaultyFiles, SmallDisk, small_disk
from tests.running_app import running_app
from tests.running_server import RunningServer, running_server

TYPE = "disk.fault"
FLOOR = 4 * 1024 * 1024
# One small batch after the other, so that deliveries meet the fault as well.
FLAGS = ["--journal-disk-floor-bytes", str(FLOOR), "--journal-cut-age-seconds", "0.1"]
EVENT_BYTES = 64 * 1024
_SECONDS = 120


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """The data directory of `tmp_path`, on a disk of its own."""
    with small_disk(tmp_path / "data") as disk:
        yield disk


class Emitter:
    """Emits numbered events and remembers which were acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, Position] = {}
        self._sent = 0

    def emit(self, client: Client, uid: str = "", size: int = 100) -> str:
        """One event, a new one unless its uid is given; gives its uid."""
        if not uid:
            self._sent += 1
            uid = str(self._sent)
        event = {"event": TYPE, "uid": uid, "time": "2024-05-01T12:00:00Z", "padding": "x" * size}
        answer = client.emit(json.dumps(event).encode())
        self.acknowledged[uid] = Position(answer.log_id, answer.sequence)
        return uid

    def emit_until_refused(self, client: Client) -> ExtauditError:
        """Large events until one is refused; gives the refusal."""
        for _ in range(1000):
            try:
                self.emit(client, size=EVENT_BYTES)
            except ExtauditError as error:
                return error
        raise AssertionError("nothing was refused")


def found(client: Client) -> dict[str, Position]:
    """Where each event of these tests is: in one row with one receipt."""
    positions: dict[str, Position] = {}
    for row in client.search_all(Query(types=(TYPE,))):
        (receipt,) = row.receipts
        assert row.uid not in positions
        positions[row.uid] = Position(receipt.log_id, receipt.sequence)
    return positions


def client_of(data_dir: Path) -> Client:
    return Client(find_connection({}, data_dir), retries=Retries(attempts=0))


def problems(ready: dict[str, Any]) -> list[str]:
    """What /readyz says is wrong."""
    host, port = ready["http"].split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    names: list[str] = [] if answer.status == 200 else json.loads(body)["problems"]
    assert answer.status == (503 if names else 200)
    return names


def is_serving(data_dir: Path) -> bool:
    """What the health service says."""
    with find_connection({}, data_dir).channel() as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=_SECONDS)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_intake_closes_at_the_floor_and_opens_when_space_is_back(tmp_path: Path, disk: SmallDisk) -> None:
    emitter = Emitter()
    with running_server(tmp_path, *FLAGS) as server, server.client() as client:
        ready = server.wait_until_ready()
        disk.fill(leave=FLOOR + 3 * 1024 * 1024)
        # What others take at once the service learns of at its next look; what it takes itself it counts.
        until(lambda: client.status().journal.free_disk_bytes < FLOOR + 4 * 1024 * 1024)
        refusal = emitter.emit_until_refused(client)
        assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "DISK_FLOOR")
        assert refusal.retry_after
        assert disk.free_bytes > FLOOR // 2
        until(lambda: client.status().journal.pending_events == 0)  # which gives space back
        disk.fill(leave=FLOOR * 3 // 4)
        until(lambda: problems(ready) == ["disk_floor"] and not is_serving(server.data_dir))
        assert [problem.name for problem in client.status().problems] == ["disk_floor"]
        assert found(client) == emitter.acknowledged, "searches have a reserve for their traces"
        disk.clear()
        until(lambda: problems(ready) == [] and is_serving(server.data_dir))
        emitter.emit(client)
        assert found(client) == emitter.acknowledged


def test_a_disk_without_any_space_refuses_and_then_goes_on(tmp_path: Path, disk: SmallDisk) -> None:
    emitter = Emitter()
    with running_server(tmp_path, *FLAGS) as server, server.client() as client:
        ready = server.wait_until_ready()
        emitter.emit(client)
        disk.fill()
        refusal = emitter.emit_until_refused(client)
        assert refusal.code in ("RESOURCE_EXHAUSTED", "UNAVAILABLE")
        assert (refusal.reason, bool(refusal.retry_after)) == ("DISK_FLOOR", True)
        until(lambda: "disk_floor" in problems(ready) and not is_serving(server.data_dir))
        disk.clear()
        until(lambda: problems(ready) == [] and is_serving(server.data_dir))
        emitter.emit(client)
        assert found(client) == emitter.acknowledged
        until(lambda: client.status().storages[0].objects > 0)
        assert found(client) == emitter.acknowledged


def test_a_write_without_space_is_cut_back(disk: SmallDisk) -> None:
    """The disk fills up between two looks at it, so that the write itself meets its end, in the midst of a frame."""
    emitter = Emitter()
    section = JournalSection(disk_floor_bytes=FLOOR)
    with running_app(disk.path, journal=section, watching=False), client_of(disk.path) as client:
        emitter.emit(client)
        disk.fill(leave=2 * 4096)
        refusal = emitter.emit_until_refused(client)
        assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "DISK_FLOOR")
        assert refusal.retry_after
        disk.clear()
        emitter.emit(client)
        assert found(client) == emitter.acknowledged
    with running_app(disk.path, journal=section), client_of(disk.path) as client:
        assert found(client) == emitter.acknowledged
        emitter.emit(client)
    assert len({position.log_id for position in emitter.acknowledged.values()}) == 1, "nothing was taken for damage"


def start_on_bad_disk(
    folder: Path, disk: SmallDisk, fault: str
) -> tuple[str, dict[str, Position], dict[str, Position]]:
    """What a start on a full or read-only disk says; what was acknowledged before, and found once the disk is good."""
    emitter = Emitter()
    with RunningServer(folder, *FLAGS).until_killed() as server, server.client() as client:
        emitter.emit(client)
    if fault == "full":
        disk.fill()
    else:
        disk.remount("ro")
    with RunningServer(folder, *FLAGS).until_killed() as server:
        assert server.wait() == 1
    if fault == "full":
        disk.clear()
    else:
        disk.remount("rw")
    with running_server(folder, *FLAGS) as again, again.client() as client:
        return server.said, emitter.acknowledged, found(client)


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_start_on_a_bad_disk_is_refused_and_loses_nothing(tmp_path: Path, disk: SmallDisk, fault: str) -> None:
    said, acknowledged, found_after = start_on_bad_disk(tmp_path, disk, fault)
    assert found_after == acknowledged
    lines = [line for line in said.splitlines() if line.startswith("extaudit: ")]
    # Which of the two is written to first where there is no room is a matter of bytes.
    assert [line.partition(" can't be used")[0] for line in lines] in (
        ["extaudit: the data directory"], ["extaudit: the state database"],
    )  # fmt: skip
    assert "damaged" not in lines[0]
    assert str(disk.path) not in lines[0]


def test_a_failed_sync_closes_the_journal_until_a_restart(tmp_path: Path) -> None:
    emitter, files = Emitter(), FaultyFiles("sync")
    with running_app(tmp_path, files=files) as app, client_of(tmp_path) as client:
        emitter.emit(client)
        files.fault = errno.EIO
        refusals = [emitter.emit_until_refused(client)]
        files.fault = 0
        refusals.append(emitter.emit_until_refused(client))
        assert [(refusal.code, refusal.reason) for refusal in refusals] == [("UNAVAILABLE", "JOURNAL_CLOSED")] * 2
        assert all(refusal.retry_after for refusal in refusals)
        assert files.refused == 1, "a failed sync is never tried again"
        until(lambda: problems(app.ready) == ["journal_closed"] and not is_serving(tmp_path))
        with pytest.raises(ExtauditError) as unread:
            found(client)
        assert unread.value.code == "UNAVAILABLE", "a read without its trace"
    with running_app(tmp_path), client_of(tmp_path) as client:
        assert emitter.acknowledged.items() <= found(client).items()
        for uid in ("2", "3"):
            emitter.emit(client, uid, size=EVENT_BYTES)
        assert found(client) == emitter.acknowledged


READ_ONLY = ("open", "append", "rename", "link", "remove")
"""What fails on a disk that turned read-only: the kernel does that after errors, and not when asked to while files are
open for writing."""


def test_a_disk_that_turns_read_only_refuses_until_it_is_writable(tmp_path: Path) -> None:
    emitter, files = Emitter(), FaultyFiles(*READ_ONLY)
    with running_app(tmp_path, files=files), client_of(tmp_path) as client:
        emitter.emit(client)
        files.fault = errno.EROFS
        refusal = emitter.emit_until_refused(client)
        assert (refusal.code, bool(refusal.retry_after)) == ("UNAVAILABLE", True)
        with pytest.raises(ExtauditError) as unread:
            found(client)
        assert unread.value.code == "UNAVAILABLE", "a read without its trace"
        files.fault = 0
        emitter.emit(client)
        assert found(client) == emitter.acknowledged


def test_a_journal_that_can_not_be_written_is_not_ready(tmp_path: Path) -> None:
    emitter, files = Emitter(), FaultyFiles(*READ_ONLY)
    with running_app(tmp_path, files=files) as app, client_of(tmp_path) as client:
        files.fault = errno.EROFS
        emitter.emit_until_refused(client)
        try:
            until(lambda: problems(app.ready) != [] and not is_serving(tmp_path))
        finally:
            files.fault = 0
        # Nobody emits to a service that isn't ready, so it has to find out by itself.
        until(lambda: problems(app.ready) == [] and is_serving(tmp_path))


def test_a_stop_that_can_not_be_recorded_is_still_a_stop(tmp_path: Path) -> None:
    emitter, files = Emitter(), FaultyFiles(*READ_ONLY)
    with running_app(tmp_path, files=files) as app:
        with client_of(tmp_path) as client:
            emitter.emit(client)
        files.fault = errno.EROFS
    app.directory.acquire().release()


def test_a_second_process_on_the_data_directory_is_refused(tmp_path: Path) -> None:
    emitter = Emitter()
    with running_server(tmp_path) as first, first.client() as client:
        ready = first.wait_until_ready()
        with RunningServer(tmp_path).until_killed() as second:
            assert second.wait() == 1
        assert second.said.splitlines()[-1].startswith("extaudit: another extaudit serve uses this data directory")
        assert first.wait_until_ready() == ready
        emitter.emit(client)
        assert found(client) == emitter.acknowledged


def test_a_start_on_a_full_disk_says_no_more_than_a_line(tmp_path: Path, disk: SmallDisk) -> None:
    said, _, _ = start_on_bad_disk(tmp_path, disk, "full")
    assert "Traceback" not in said
