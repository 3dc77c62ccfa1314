"""The client for asyncio does what the other one does: the same answers, errors, retries and streams."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import io
import itertools
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_pb2, recording_pb2
from extaudit.v1 import recording_service_pb2 as recording_pb
from extaudit_client import (
    AsyncClient,
    AsyncRecordings,
    AsyncStorages,
    Client,
    Connection,
    ConnectionFailed,
    ExtauditError,
    IncompleteAnswer,
    InvalidRequest,
    PermissionDenied,
    Query,
    Recordings,
    Retries,
    Storages,
    async_stream,
)
from extaudit_client.async_downloading import AsyncDownload
from extaudit_client.async_uploading import AsyncUploading
from extaudit_client.custody import CustodyDigest
from extaudit_client.upload_window import CHUNK_BYTES, WINDOW_BYTES, Source

from tests.loops import in_loop
from tests.unit.client.fake_recordings import SESSION, FakeUploads
from tests.unit.client.fake_service import FakeService, Refused, acknowledge
from tests.unit.client.test_emit_stream import broken_after, bytes_of, numbered

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
FAST = Retries(attempts=2, first_delay=0.01)


def opened(connection: Connection) -> AsyncClient:
    return AsyncClient(connection, timeout=60, retries=FAST)


def shape(method: Any) -> list[tuple[str, Any]]:
    return [(name, each.default) for name, each in inspect.signature(method).parameters.items()]


OF_THREADS = {"chunks", "export_chunk", "watch_columns"}
"""What `export` is made of; for asyncio it runs on a thread."""


@pytest.mark.parametrize(
    ("one", "other"), [(Client, AsyncClient), (Recordings, AsyncRecordings), (Storages, AsyncStorages)]
)
def test_both_clients_have_the_same_methods_with_the_same_arguments(one: type, other: type) -> None:
    def public(kind: type) -> dict[str, Any]:
        return {
            name: shape(member)
            for name, member in vars(kind).items()
            if not name.startswith("_") and name not in OF_THREADS
        }

    assert public(other) == public(one)


@in_loop
async def test_pages_and_errors_are_those_of_the_other_client(service: FakeService, connection: Connection) -> None:
    pages = iter([("t1", 2), ("", 1)])

    def search(request: pb.SearchEventsRequest) -> pb.SearchEventsResponse:
        token, rows = next(pages)
        listed = [event_pb2.EventRow(uid=f"{token}{n}") for n in range(rows)]
        return pb.SearchEventsResponse(events=listed, next_page_token=token, complete=bool(token))

    service.search = search
    async with opened(connection) as client:
        found = []
        with pytest.raises(IncompleteAnswer):
            async for row in client.search_all(Query()):
                found.append(row.uid)  # noqa: PERF401 (what came before the error counts)
        assert found == ["t10", "t11", "0"]
        assert [request.page_token for request in service.searches] == ["", "t1"]
        refused = Refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", "wrong", (("a", "b"),))

        def refuse(_: object) -> Any:
            raise refused

        service.search = refuse
        with pytest.raises(InvalidRequest) as caught:
            await client.search(Query())
        assert (caught.value.reason, caught.value.violations[0].field) == ("INVALID_REQUEST", "a")


@in_loop
async def test_a_call_is_tried_again(service: FakeService, connection: Connection) -> None:
    failures = iter([True, True])

    def search(_: object) -> pb.SearchEventsResponse:
        if next(failures, False):
            raise Refused(UNAVAILABLE, "STOPPING", retry_after=0.01)
        return pb.SearchEventsResponse(query_id="q")

    service.search = search
    async with opened(connection) as client:
        assert (await client.search(Query())).query_id == "q"
        assert len(service.searches) == 3


@in_loop
async def test_nothing_listening_is_said(connection: Connection) -> None:
    nowhere = Connection("127.0.0.1:1", connection.ca, connection.cert, connection.key)
    async with opened(nowhere) as client:
        with pytest.raises(ConnectionFailed, match="nothing is listening there"):
            await client.status()


@in_loop
async def test_an_event_is_put_together_and_checked(service: FakeService, connection: Connection) -> None:
    data = b'{"event":"e"}'
    row = event_pb2.EventRow(uid="u", digest=hashlib.sha256(data).hexdigest(), payload_size=len(data))

    def parts(_: object) -> Iterator[pb.GetEventResponse]:
        yield pb.GetEventResponse(event=row)
        for at in range(len(data)):
            yield pb.GetEventResponse(chunk=data[at : at + 1])

    service.get = parts
    async with opened(connection) as client:
        assert (await client.get("u"))[1] == data
        row.digest = "0" * 64
        with pytest.raises(ExtauditError, match="digest"):
            await client.get("u")
        row.payload_size = 3
        with pytest.raises(ExtauditError, match="digest"):
            await client.get("u")


@in_loop
async def test_what_is_not_acknowledged_is_sent_again_on_a_new_stream(
    service: FakeService, connection: Connection
) -> None:
    seen: list[list[bytes]] = []
    service.emit_stream = broken_after(2, seen)

    async def source() -> AsyncIterator[bytes]:
        for event in numbered(5):
            yield event

    async with opened(connection) as client:
        answers = [answer async for answer in client.emit_stream(source(), batch_size=1)]
        assert [answer.first_index for answer in answers] == [0, 1, 2, 3, 4]
        # Answers that came with the end of the stream may be lost with it, and what they told of is sent again.
        again = [sent for (sent,) in seen[3:]]
        assert again == numbered(5)[5 - len(again) :]
        assert 3 <= len(again) <= 5
        answers = [answer async for answer in client.emit_stream(numbered(25), batch_size=10, window=1)]
        assert [answer.count for answer in answers] == [10, 10, 5]


@in_loop
async def test_a_refused_stream_tells_the_services_reason_however_much_is_being_sent(
    service: FakeService, connection: Connection
) -> None:
    def refuse(requests: Iterator[pb.EmitEventsRequest]) -> Iterator[pb.EmitEventsResponse]:
        raise Refused(grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
        yield

    service.emit_stream = refuse
    events = [b"x" * 1_000_000] * 8
    async with opened(connection) as client:
        for _ in range(20):
            with pytest.raises(PermissionDenied):
                [answer async for answer in client.emit_stream(events, batch_size=1)]


@in_loop
async def test_an_acknowledgement_out_of_turn_is_an_error(service: FakeService, connection: Connection) -> None:
    def wrong(requests: Iterator[pb.EmitEventsRequest]) -> Iterator[pb.EmitEventsResponse]:
        request = next(requests)
        assert bytes_of(request)
        request.message_number += 1
        yield acknowledge(request)

    service.emit_stream = wrong
    async with opened(connection) as client:
        with pytest.raises(ExtauditError, match="out of turn"):
            [answer async for answer in client.emit_stream(numbered(1))]


@in_loop
async def test_a_broken_upload_is_gone_on_with_from_what_is_durable(
    service: FakeService, connection: Connection
) -> None:
    broken = Refused(UNAVAILABLE, "STOPPING", retry_after=0.01)
    service.upload = uploads = FakeUploads((2, broken), (0, broken), (7, broken))
    data = os.urandom(WINDOW_BYTES + 5 * CHUNK_BYTES + 3)
    told: list[int] = []
    # Answers that came with the end of a stream may be lost with it: none of the three need bring it on.
    async with AsyncClient(connection, timeout=60, retries=Retries(attempts=3, first_delay=0.01)) as client:
        done = await client.recordings.upload(
            io.BytesIO(data), SESSION, progress=lambda upload_id, durable: told.append(durable), with_sha256=True
        )
    assert uploads.data == data
    assert (done.bytes, done.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert uploads.with_sha256 == [True] * 4
    assert uploads.starts == [(SESSION, ""), *[(SESSION, "u-1")] * 3]
    assert told == sorted(told)
    assert told[-1] == len(data)


@in_loop
async def test_an_upload_goes_on_where_another_process_left_it(service: FakeService, connection: Connection) -> None:
    service.upload = uploads = FakeUploads()
    data = os.urandom(4 * CHUNK_BYTES)
    uploads.data += data[: CHUNK_BYTES + 7]
    async with opened(connection) as client:
        done = await client.recordings.upload(io.BytesIO(data), SESSION, "u-1")
    assert uploads.data == data
    assert uploads.received == len(data) - CHUNK_BYTES - 7
    assert done.sha256 == hashlib.sha256(data).hexdigest()


@in_loop
async def test_a_source_that_fails_ends_the_upload_with_its_error(service: FakeService, connection: Connection) -> None:
    class Failing(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError(5, "gone")

    service.upload = FakeUploads()
    async with opened(connection) as client:
        with pytest.raises(OSError, match="gone"):
            await client.recordings.upload(Failing(), SESSION)  # type: ignore[arg-type]


def recording_of(data: bytes) -> recording_pb2.Recording:
    digest = CustodyDigest()
    digest.update(data)
    return recording_pb2.Recording(
        session_id=SESSION, bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), custody_digest=digest.custody
    )


@in_loop
async def test_a_download_goes_on_and_is_checked(service: FakeService, connection: Connection, tmp_path: Path) -> None:
    data = os.urandom(300_000)
    offsets: list[int] = []

    def download(request: recording_pb.DownloadRecordingRequest) -> Iterator[recording_pb.DownloadRecordingResponse]:
        offsets.append(request.offset)
        yield recording_pb.DownloadRecordingResponse(recording=recording_of(data))
        yield recording_pb.DownloadRecordingResponse(chunk=data[request.offset : request.offset + 100_000])
        if request.offset < 200_000:
            raise Refused(UNAVAILABLE, "STOPPING", retry_after=0.01)

    service.download = download
    told: list[int] = []
    async with opened(connection) as client:
        path = tmp_path / "r.tar"
        found = await client.recordings.download(SESSION, path, progress=lambda recording, size: told.append(size))
    assert path.read_bytes() == data
    assert (found.bytes, offsets, told) == (300_000, [0, 100_000, 200_000], [100_000, 200_000, 300_000])
    assert path.stat().st_mode & 0o777 == 0o600


@in_loop
async def test_calls_run_beside_each_other(service: FakeService, connection: Connection) -> None:
    async with opened(connection) as client:
        found = await asyncio.gather(*(client.status() for _ in range(20)))
    assert len(found) == 20


@in_loop
async def test_a_service_that_takes_nothing_more_is_left_for_another_stream(
    service: FakeService, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent waits in the connection then, and no answer is waited for that could be missed."""
    streams, over = itertools.count(), threading.Event()

    def takes_nothing_at_first(requests: Iterator[pb.EmitEventsRequest]) -> Iterator[pb.EmitEventsResponse]:
        if next(streams) == 0:
            over.wait(200)
            return
        monkeypatch.setattr(async_stream, "SILENCE_SECONDS", 200.0)
        yield from map(acknowledge, requests)

    service.emit_stream = takes_nothing_at_first
    monkeypatch.setattr(async_stream, "SILENCE_SECONDS", 0.2)
    retries = Retries(attempts=1_000, first_delay=0.01, from_start=True)
    try:
        async with AsyncClient(connection, retries=retries) as client:
            large = [b'{"event":"a.b","x":"%b"}' % (b"x" * 500_000)] * 12
            assert sum([answer.count async for answer in client.emit_stream(large, batch_size=4)]) == len(large)
    finally:
        over.set()


@in_loop
async def test_recordings_of_which_nothing_more_comes_go_on_over_another_stream(
    service: FakeService, connection: Connection
) -> None:
    """Both ways. Only the first stream has to hurry, and once it has begun."""
    data, over = os.urandom(3 * CHUNK_BYTES), threading.Event()
    uploads = FakeUploads()
    retries = Retries(attempts=1_000, first_delay=0.01)

    def upload(requests: Iterator[recording_pb.UploadRecordingRequest]) -> Iterator[Any]:
        answers = uploads(requests)
        if uploads.starts:
            uploading._silence = 200.0
            yield from answers
        else:
            yield from itertools.islice(answers, 2)
            over.wait(200)

    def download(request: recording_pb.DownloadRecordingRequest) -> Iterator[recording_pb.DownloadRecordingResponse]:
        yield recording_pb.DownloadRecordingResponse(recording=recording_of(data))
        if not request.offset:
            yield recording_pb.DownloadRecordingResponse(chunk=data[:1000])
            over.wait(200)
            return
        yield recording_pb.DownloadRecordingResponse(chunk=data[request.offset :])

    service.upload, service.download = upload, download
    try:
        async with AsyncClient(connection, timeout=60) as client:
            stubs = client._caller.stubs
            uploading = AsyncUploading(
                stubs.upload_recording, Source(io.BytesIO(data)), SESSION, "", retries, silence=0.2
            )
            assert (await uploading.run()).bytes == len(data) == len(uploads.data)
            downloading, found = AsyncDownload(stubs.recordings.DownloadRecording, SESSION, "", retries), b""
            async for part in downloading.chunks():
                found += part
                downloading._silence = 0.2 if len(found) == 1000 else 200.0
            assert found == data
    finally:
        over.set()
