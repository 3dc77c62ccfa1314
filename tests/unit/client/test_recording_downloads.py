"""Downloads of the client: what it does when streams break, files are in the way, or the service errs."""

from __future__ import annotations

import fcntl
import itertools
import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from extaudit.v1 import recording_service_pb2 as pb
from extaudit_client import Client, ExtauditError
from extaudit_client.download_state import PartFile
from extaudit_client.downloading import Download

from tests.polling import until
from tests.unit.client.fake_recordings import (
    BROKEN,
    SESSION,
    FakeDownload,
)
from tests.unit.client.fake_service import FakeService, Refused
from tests.unit.client.silence import SILENCE, SilenceClock


def test_a_download_is_there_once_it_is_whole(service: FakeService, client: Client, tmp_path: Path) -> None:
    service.download = fake = FakeDownload(os.urandom(10_000), (3000, BROKEN), (4000, BROKEN))
    target = tmp_path / "s.tar"
    told: list[int] = []
    recording = client.recordings.download(SESSION, target, progress=lambda _, done: told.append(done))
    assert target.read_bytes() == fake.data
    assert recording.bytes == 10_000
    assert fake.offsets == [0, 3000, 7000]
    assert told[-1] == 10_000
    assert [path.name for path in tmp_path.iterdir()] == ["s.tar"]


def test_a_download_is_durable_before_it_has_its_name_and_its_name_when_it_is_done(
    service: FakeService, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.download = FakeDownload(os.urandom(10_000))
    target, sync, synced = tmp_path / "s.tar", os.fsync, list[tuple[str, bool]]()

    def noted(fd: int) -> None:
        found = os.fstat(fd)
        synced.append(("folder" if stat.S_ISDIR(found.st_mode) else f"{found.st_size} bytes", target.exists()))
        sync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    client.recordings.download(SESSION, target)
    assert synced == [("10000 bytes", False), ("folder", True)]


def test_a_recording_of_which_no_sha256_of_the_whole_is_kept_is_downloaded(
    service: FakeService, client: Client, tmp_path: Path
) -> None:
    service.download = fake = FakeDownload(os.urandom(10_000))
    fake.sha256 = ""
    client.recordings.download(SESSION, tmp_path / "s.tar")
    assert (tmp_path / "s.tar").read_bytes() == fake.data
    fake.sha256 = "0" * 64
    with pytest.raises(ExtauditError, match="custody digest"):
        client.recordings.download(SESSION, tmp_path / "t.tar")


def test_a_download_of_before_is_gone_on_with(service: FakeService, client: Client, tmp_path: Path) -> None:
    failure = Refused(grpc.StatusCode.PERMISSION_DENIED, "LOCKED")
    service.download = fake = FakeDownload(os.urandom(10_000), (6000, failure))
    target = tmp_path / "s.tar"
    with pytest.raises(ExtauditError):
        client.recordings.download(SESSION, target)
    assert not target.exists()
    client.recordings.download(SESSION, target)
    assert fake.offsets == [0, 6000]
    assert target.read_bytes() == fake.data


def test_what_is_not_the_recordings_is_thrown_away(service: FakeService, client: Client, tmp_path: Path) -> None:
    service.download = fake = FakeDownload(os.urandom(10_000))
    (tmp_path / "s.tar.part").write_bytes(b"other")
    with pytest.raises(ExtauditError, match="custody digest"):
        client.recordings.download(SESSION, tmp_path / "s.tar")
    client.recordings.download(SESSION, tmp_path / "s.tar")
    assert (tmp_path / "s.tar").read_bytes() == fake.data


def test_a_part_longer_than_the_recording_is_thrown_away(service: FakeService, client: Client, tmp_path: Path) -> None:
    def refuse(_: pb.DownloadRecordingRequest) -> Iterator[pb.DownloadRecordingResponse]:
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", violations=(("offset", "too large"),))

    service.download = refuse
    (tmp_path / "s.tar.part").write_bytes(bytes(20_000))
    with pytest.raises(ExtauditError):
        client.recordings.download(SESSION, tmp_path / "s.tar")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("member", ["custody", "data"])
def test_bytes_that_have_not_the_custody_digest_are_refused_and_not_kept(
    service: FakeService, client: Client, tmp_path: Path, member: str
) -> None:
    service.download = fake = FakeDownload(os.urandom(5000))
    fake.custody = "0" * 64 if member == "custody" else fake.custody
    if member == "data":
        service.download = lambda request: (
            pb.DownloadRecordingResponse(chunk=b"x" * len(each.chunk)) if each.chunk else each for each in fake(request)
        )
    with pytest.raises(ExtauditError, match="custody digest") as failed:
        client.recordings.download(SESSION, tmp_path / "s.tar")
    assert failed.value.code == "DATA_LOSS"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_whole_when_its_lock_came_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening and locking the other download gave it its name, and a third one has begun."""
    target, part, lock = tmp_path / "s.tar", tmp_path / "s.tar.part", fcntl.flock

    def overtaken(file: Any, operation: int) -> None:
        part.replace(target)
        part.touch()
        lock(file, operation)

    part.write_bytes(b"whole")
    monkeypatch.setattr(fcntl, "flock", overtaken)
    with pytest.raises(ExtauditError, match="another download"), PartFile(target):
        pass
    assert target.read_bytes() == b"whole"


def test_a_refused_download_leaves_no_file(service: FakeService, client: Client, tmp_path: Path) -> None:
    service.download = FakeDownload(b"", (0, Refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND")))
    with pytest.raises(ExtauditError):
        client.recordings.download(SESSION, tmp_path / "s.tar")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_recording_is_a_file_of_no_bytes(service: FakeService, client: Client, tmp_path: Path) -> None:
    service.download = FakeDownload(b"")
    client.recordings.download(SESSION, tmp_path / "s.tar")
    assert (tmp_path / "s.tar").read_bytes() == b""


def test_a_download_of_which_nothing_more_comes_goes_on_over_another_stream(
    service: FakeService, client: Client, waits: list[float], silence_clock: SilenceClock
) -> None:
    fake, came = FakeDownload(os.urandom(10_000)), list[bytes]()

    def silent_at_first(request: pb.DownloadRecordingRequest) -> Iterator[pb.DownloadRecordingResponse]:
        answers = fake(request)
        if request.offset:
            yield from answers
        else:
            yield from itertools.islice(answers, 4)
            until(lambda: len(came) == 3)
            silence_clock.go_on_until(lambda: waits)

    service.download = silent_at_first
    stub, retries = client._caller.stubs.recordings.DownloadRecording, client._caller.retries
    came.extend(Download(stub, SESSION, "", retries, SILENCE).chunks())
    assert (b"".join(came), fake.offsets) == (fake.data, [0, 3000])


def test_one_download_at_a_time_writes_a_file(service: FakeService, client: Client, tmp_path: Path) -> None:
    """Each checks the bytes that came to it: those of two, one behind the other, would pass for the recording."""
    fake, halves, go_on = FakeDownload(os.urandom(10_000)), threading.Event(), threading.Event()

    def slowly(request: pb.DownloadRecordingRequest) -> Iterator[pb.DownloadRecordingResponse]:
        for number, each in enumerate(fake(request)):
            yield each
            if number == 5:
                halves.set()
                assert go_on.wait(60)

    service.download, target = slowly, tmp_path / "s.tar"
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(client.recordings.download, SESSION, target)
        try:
            assert halves.wait(60)
            until(lambda: target.with_name("s.tar.part").exists())
            with pytest.raises(ExtauditError, match="another download is writing"):
                client.recordings.download(SESSION, target)
        finally:
            go_on.set()
        first.result(60)
    assert target.read_bytes() == fake.data
    assert list(tmp_path.iterdir()) == [target]


def test_bytes_come_as_they_are_read_and_are_checked_at_their_end(service: FakeService, client: Client) -> None:
    service.download = fake = FakeDownload(os.urandom(5000))
    assert b"".join(client.recordings.read(SESSION)) == fake.data
    fake.custody = "0" * 64
    with pytest.raises(ExtauditError, match="custody digest"):
        list(client.recordings.read(SESSION))
