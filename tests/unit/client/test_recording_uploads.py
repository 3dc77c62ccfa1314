"""Uploads and downloads of the client: what it does when streams break, sources wait, or the service errs."""

from __future__ import annotations

import fcntl
import hashlib
import io
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
from extaudit.v1 import recording_pb2
from extaudit.v1 import recording_service_pb2 as pb
from extaudit_client import Client, ExtauditError, Retries
from extaudit_client.custody import PART_BYTES, CustodyDigest, part_size
from extaudit_client.download_state import PartFile
from extaudit_client.downloading import Download
from extaudit_client.upload_window import UploadWindow, chunk
from extaudit_client.uploading import CHUNK_BYTES, WINDOW_BYTES, Source, Uploading

from tests.polling import until
from tests.unit.client.fake_service import FakeService, Refused
from tests.unit.client.silence import SILENCE, SilenceClock

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
SESSION = "0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11"
Requests = Iterator[pb.UploadRecordingRequest]
Responses = Iterator[pb.UploadRecordingResponse]


class FakeUploads:
    """Takes uploads in; `breaks` says after how many chunks each stream breaks, and with what."""

    def __init__(self, *breaks: tuple[int, Refused]) -> None:
        self.breaks = list(breaks)
        self.data = bytearray()
        self.starts: list[tuple[str, str]] = []
        self.received = 0
        self.with_sha256: list[bool] = []

    def __call__(self, requests: Requests) -> Responses:
        start = next(requests).start
        self.starts.append((start.session_id, start.upload_id))
        self.with_sha256.append(start.with_sha256)
        limit, failure = self.breaks.pop(0) if self.breaks else (-1, None)
        yield self._durable()
        for number, request in enumerate(requests):
            if number == limit and failure is not None:
                raise failure
            offset, data = request.chunk.offset, request.chunk.data
            assert offset <= len(self.data), "a gap"
            self.data += data[len(self.data) - offset :]
            self.received += len(data)
            yield self._durable()

    def _durable(self) -> pb.UploadRecordingResponse:
        return pb.UploadRecordingResponse(upload_id="u-1", storage="default", durable_offset=len(self.data))


@pytest.mark.parametrize("size", [1, 100, 125, 126, 127, 128, 16_384, CHUNK_BYTES])
@pytest.mark.parametrize("offset", [0, 1, 127, 128, CHUNK_BYTES, 2**62])
def test_a_chunk_is_encoded_as_messages_are(offset: int, size: int) -> None:
    data = os.urandom(size)
    message = pb.UploadRecordingRequest(chunk=pb.RecordingChunk(offset=offset, data=data))
    assert chunk(offset, data) == message.SerializeToString()


def test_everything_is_uploaded_and_its_size_and_digest_come_back(service: FakeService, client: Client) -> None:
    service.upload = uploads = FakeUploads()
    data = os.urandom(3 * CHUNK_BYTES + 5)
    told: list[tuple[str, int]] = []
    done = client.recordings.upload(io.BytesIO(data), SESSION, progress=lambda *each: told.append(each))
    assert uploads.data == data
    assert (done.upload_id, done.bytes, done.custody_digest) == ("u-1", len(data), digest_by_hand(data, [PART_BYTES]))
    assert told[0] == ("u-1", 0)
    assert told[-1] == ("u-1", len(data))
    assert uploads.starts == [(SESSION, "")]


def test_the_whole_is_hashed_where_that_is_asked_for_and_nowhere_else(service: FakeService, client: Client) -> None:
    service.upload = uploads = FakeUploads()
    data = os.urandom(PART_BYTES + 1)
    digests = []
    for with_sha256 in (False, True):
        done = client.recordings.upload(io.BytesIO(data), SESSION, with_sha256=with_sha256)
        digests.append((done.custody_digest, done.sha256))
    custody = digest_by_hand(data, [PART_BYTES] * 2)
    assert digests == [(custody, ""), (custody, hashlib.sha256(data).hexdigest())]
    assert uploads.with_sha256 == [False, True]


@pytest.mark.parametrize("data", [b"", b"x"])
def test_little_is_uploaded_as_well(service: FakeService, client: Client, data: bytes) -> None:
    service.upload = uploads = FakeUploads()
    assert client.recordings.upload(io.BytesIO(data), SESSION).bytes == len(data)
    assert uploads.data == data


def test_a_broken_stream_is_gone_on_with_from_what_is_durable(
    service: FakeService, client: Client, waits: list[float]
) -> None:
    broken = Refused(UNAVAILABLE, "STOPPING", retry_after=0.5)
    service.upload = uploads = FakeUploads((2, broken), (0, broken), (1, broken))
    data = os.urandom(5 * CHUNK_BYTES)
    done = client.recordings.upload(io.BytesIO(data), SESSION)
    assert uploads.data == data
    assert done.custody_digest == digest_by_hand(data, [PART_BYTES])
    assert uploads.starts == [(SESSION, ""), *[(SESSION, "u-1")] * 3]
    assert waits == [0.5, 0.5, 0.5]


def test_an_upload_of_before_is_gone_on_with_where_it_was(service: FakeService, client: Client) -> None:
    service.upload = uploads = FakeUploads()
    data = os.urandom(3 * CHUNK_BYTES)
    uploads.data += data[: CHUNK_BYTES + 7]
    done = client.recordings.upload(io.BytesIO(data), SESSION, upload_id="u-1")
    assert uploads.data == data
    assert uploads.received == len(data) - CHUNK_BYTES - 7
    assert (done.bytes, done.custody_digest) == (len(data), digest_by_hand(data, [PART_BYTES]))


def test_an_upload_that_another_client_took_further_is_gone_on_with_behind_that() -> None:
    """What was kept for sending again is not of the place where it goes on."""
    data = os.urandom(3 * CHUNK_BYTES)
    window = UploadWindow(Source(io.BytesIO(data)), SESSION, "")
    window.note(pb.UploadRecordingResponse(upload_id="u-1"), first=True)
    window.add(window.source.read())
    window.note(pb.UploadRecordingResponse(upload_id="u-1", durable_offset=2 * CHUNK_BYTES), first=True)
    window.add(window.source.read())
    assert window.kept_at(-1) == (2 * CHUNK_BYTES, data[2 * CHUNK_BYTES :])


def test_a_source_shorter_than_what_is_durable_is_refused(service: FakeService, client: Client) -> None:
    service.upload = uploads = FakeUploads()
    uploads.data += b"12345"
    with pytest.raises(ExtauditError, match="shorter than what was uploaded") as failed:
        client.recordings.upload(io.BytesIO(b"123"), SESSION, upload_id="u-1")
    assert failed.value.code == "FAILED_PRECONDITION"


@pytest.mark.parametrize(
    "failure",
    [
        Refused(grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_TAKEN_UP"),
        Refused(grpc.StatusCode.PERMISSION_DENIED, "LOCKED"),
        Refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
    ],
)
def test_what_will_not_go_better_is_not_tried_again(
    service: FakeService, client: Client, failure: Refused, waits: list[float]
) -> None:
    service.upload = FakeUploads((1, failure))
    with pytest.raises(ExtauditError):
        client.recordings.upload(io.BytesIO(bytes(3 * CHUNK_BYTES)), SESSION)
    assert waits == []


def test_a_stream_that_breaks_too_often_without_getting_on_is_given_up(
    service: FakeService, client: Client, waits: list[float]
) -> None:
    broken = Refused(UNAVAILABLE, "STOPPING", retry_after=0.1)
    service.upload = FakeUploads(*[(0, broken)] * 10)
    with pytest.raises(ExtauditError):
        client.recordings.upload(io.BytesIO(b"x"), SESSION)
    assert len(waits) == 2


def test_a_service_that_loses_what_it_had_acknowledged_is_not_believed(service: FakeService, client: Client) -> None:
    uploads = FakeUploads((2, Refused(UNAVAILABLE, "STOPPING", retry_after=0.0)))

    def forgetful(requests: Requests) -> Responses:
        if uploads.starts:
            uploads.data.clear()
        return uploads(requests)

    service.upload = forgetful
    with pytest.raises(ExtauditError, match="lost bytes"):
        client.recordings.upload(io.BytesIO(bytes(4 * CHUNK_BYTES)), SESSION)


def test_a_source_is_read_only_so_far_ahead_of_what_is_durable(service: FakeService, client: Client) -> None:
    class Counted(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            Counted.given += size
            return bytes(size) if Counted.given <= 4 * WINDOW_BYTES else b""

    stopped = threading.Event()
    ahead: list[int] = []

    def never_durable(requests: Requests) -> Responses:
        next(requests)
        yield pb.UploadRecordingResponse(upload_id="u-1")
        for _ in range(WINDOW_BYTES // CHUNK_BYTES):
            next(requests)
        stopped.wait(0.2)
        ahead.append(Counted.given)
        raise Refused(grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_NOT_OPEN")

    service.upload = never_durable
    with pytest.raises(ExtauditError):
        client.recordings.upload(Counted(), SESSION)  # type: ignore[arg-type]  # a raw stream reads as a binary one
    assert ahead == [WINDOW_BYTES]


def test_a_source_that_waits_holds_no_acknowledgement_up(service: FakeService, client: Client) -> None:
    service.upload = FakeUploads()
    read, write = os.pipe()
    durable: list[int] = []

    def feed(_upload: str, offset: int) -> None:
        durable.append(offset)
        if offset < 3:
            os.write(write, b"x")
        elif offset == 3 and not closed.is_set():
            closed.set()
            os.close(write)

    closed = threading.Event()
    with open(read, "rb") as source:
        assert client.recordings.upload(source, SESSION, progress=feed).bytes == 3
    assert durable == [0, 1, 2, 3]


def test_a_source_that_can_not_be_read_ends_the_upload(service: FakeService, client: Client) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError(5, "Input/output error")

    service.upload = FakeUploads()
    with pytest.raises(OSError, match="Input/output"):
        client.recordings.upload(Broken(), SESSION)  # type: ignore[arg-type]  # as above


def digest_by_hand(data: bytes, schedule: list[int]) -> str:
    digests, at = b"", 0
    for size in schedule:
        if at < len(data):
            digests += hashlib.sha256(data[at : at + size]).digest()
        at += size
    return hashlib.sha256(digests).hexdigest()


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 2 * PART_BYTES + 9])
def test_the_custody_digest_is_over_the_digests_of_the_parts(size: int, whole: bool) -> None:
    data = os.urandom(size)
    digest = CustodyDigest(whole=whole)
    for start in range(0, size, 3_000_001):
        digest.update(data[start : start + 3_000_001])
    assert digest.custody == digest_by_hand(data, [PART_BYTES] * 3)
    is_known = whole or size <= PART_BYTES
    assert digest.sha256 == (hashlib.sha256(data).hexdigest() if is_known else "")
    assert digest.size == size


def test_parts_grow_by_the_first_size_after_every_thousand() -> None:
    assert [part_size(n) // PART_BYTES for n in (1, 1000, 1001, 2000, 2001, 9001, 10_000)] == [1, 1, 2, 2, 3, 10, 10]


class FakeDownload:
    """Gives a recording; `breaks` says after how many bytes of each stream it breaks, and with what."""

    def __init__(self, data: bytes, *breaks: tuple[int, Refused]) -> None:
        self.data = data
        self.breaks = list(breaks)
        self.offsets: list[int] = []
        self.custody = digest_by_hand(data, [PART_BYTES] * 4)
        self.sha256 = hashlib.sha256(data).hexdigest()

    def __call__(self, request: pb.DownloadRecordingRequest) -> Iterator[pb.DownloadRecordingResponse]:
        self.offsets.append(request.offset)
        recording = recording_pb2.Recording(
            session_id=request.session_id,
            upload_id="u-1",
            bytes=len(self.data),
            custody_digest=self.custody,
            sha256=self.sha256,
        )
        yield pb.DownloadRecordingResponse(recording=recording)
        limit, failure = self.breaks.pop(0) if self.breaks else (len(self.data), None)
        rest = self.data[request.offset :][:limit]
        for start in range(0, len(rest), 1000):
            yield pb.DownloadRecordingResponse(chunk=rest[start : start + 1000])
        if failure is not None:
            raise failure


BROKEN = Refused(UNAVAILABLE, "STOPPING", retry_after=0.0)


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


def test_an_upload_of_which_nothing_becomes_durable_any_more_goes_on_over_another_stream(
    service: FakeService, client: Client, waits: list[float], silence_clock: SilenceClock
) -> None:
    fake = FakeUploads()

    def silent_at_first(requests: Requests) -> Responses:
        answers = fake(requests)
        if fake.starts:
            yield from answers
        else:
            yield from itertools.islice(answers, 2)
            silence_clock.go_on_until(lambda: waits)

    service.upload = silent_at_first
    data = os.urandom(3 * CHUNK_BYTES)
    opened, retries = client._caller.stubs.upload_recording, client._caller.retries
    done = Uploading(opened, Source(io.BytesIO(data)), SESSION, "", retries, silence=SILENCE).run()
    assert (bytes(fake.data), done.bytes) == (data, len(data))
    assert fake.starts == [(SESSION, ""), (SESSION, "u-1")]


def test_silence_while_an_uploads_source_waits_is_no_trouble(service: FakeService, client: Client) -> None:
    """A session is streamed as it lasts, and nobody may type for an hour."""
    service.upload = FakeUploads()
    since = list[float | None]()

    class Slow(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            until(lambda: uploading._window.durable_offset == self.tell())
            if uploading._patience is not None:
                since.append(uploading._patience._since)
            return super().read1(1)

    uploading = Uploading(client._caller.stubs.upload_recording, Source(Slow(b"ab")), SESSION, "", Retries())
    assert uploading.run().bytes == 2
    assert since == [None] * 3


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


def test_the_digest_in_the_documentation_is_the_custody_digest(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "recordings.md").read_text()
    found: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], found)
    data = os.urandom(2 * PART_BYTES + 9)
    (tmp_path / "s.tar").write_bytes(data)
    assert found["custody_digest"](tmp_path / "s.tar") == digest_by_hand(data, [PART_BYTES] * 3)
