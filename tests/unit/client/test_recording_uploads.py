"""Uploads of the client: what it does when streams break, sources wait, or the service errs."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from extaudit.v1 import recording_service_pb2 as pb
from extaudit_client import Client, ExtauditError, Retries
from extaudit_client.custody import PART_BYTES, CustodyDigest, part_size
from extaudit_client.upload_window import UploadWindow, chunk
from extaudit_client.uploading import CHUNK_BYTES, WINDOW_BYTES, Source, Uploading

from tests.polling import until
from tests.unit.client.fake_recordings import (
    SESSION,
    UNAVAILABLE,
    FakeUploads,
    Requests,
    Responses,
    digest_by_hand,
)
from tests.unit.client.fake_service import FakeService, Refused
from tests.unit.client.silence import SILENCE, SilenceClock


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


@pytest.mark.parametrize("failure", [OSError(5, "a bad disk"), RuntimeError("a bad key")], ids=repr)
def test_a_source_that_can_not_be_read_ends_the_upload(
    service: FakeService, client: Client, failure: Exception
) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise failure

    service.upload = FakeUploads()
    with pytest.raises(type(failure), match="a bad"):
        client.recordings.upload(Broken(), SESSION)  # type: ignore[arg-type]  # as above


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


def test_the_digest_in_the_documentation_is_the_custody_digest(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "recordings.md").read_text()
    found: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], found)
    data = os.urandom(2 * PART_BYTES + 9)
    (tmp_path / "s.tar").write_bytes(data)
    assert found["custody_digest"](tmp_path / "s.tar") == digest_by_hand(data, [PART_BYTES] * 3)
