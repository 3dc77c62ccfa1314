"""RecordingService over mTLS with the real service behind it: whose uploads, which bytes, damage, many at once."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as log_pb
from extaudit.v1 import recording_pb2
from extaudit.v1 import recording_service_pb2 as pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit.v1.event_pb2 import EventPayload
from extaudit.v1.recording_service_pb2_grpc import RecordingServiceStub

from server.config import GrpcSection
from server.lifecycle import App
from tests.certificates_builder import CLUSTER, Ca, CaShape, Pair
from tests.crash.damaged_journal import flipped
from tests.grpc.failures import Failure, failure_of
from tests.polling import until
from tests.running_app import running_app

Codes = grpc.StatusCode
MIB = 1024 * 1024
Request = pb.UploadRecordingRequest


class Service:
    """A running service, and callers of any name and role."""

    def __init__(self, app: App, host_ca: Ca, user_ca: Ca, data_dir: Path) -> None:
        self.app = app
        self.data_dir = data_dir
        self._host_ca = host_ca
        self._user_ca = user_ca

    @contextmanager
    def channel(self, pair: Pair) -> Iterator[grpc.Channel]:
        root = Path(self.app.ready["ca"]).read_bytes()
        credentials = grpc.ssl_channel_credentials(root, pair.key_pem, pair.pem)
        with grpc.secure_channel(self.app.ready["grpc"], credentials) as channel:
            yield channel

    @contextmanager
    def node(self, name: str = "host-1", role: str = "Node") -> Iterator[RecordingServiceStub]:
        with self.channel(self._host_ca.component(name, role=role)) as channel:
            yield RecordingServiceStub(channel)

    @contextmanager
    def user(self, *roles: str, name: str = "alice") -> Iterator[RecordingServiceStub]:
        with self.channel(self._user_ca.user(name, roles=roles)) as channel:
            yield RecordingServiceStub(channel)

    def emit(self, json: bytes, name: str = "host-1", role: str = "Node") -> None:
        with self.channel(self._host_ca.component(name, role=role)) as channel:
            AuditLogServiceStub(channel).EmitEvent(log_pb.EmitEventRequest(event=EventPayload(json=json)))

    def events(self, kind: str, text: str) -> list[bytes]:
        with self.channel(self._user_ca.user("root", roles=("auditor",))) as channel:
            request = log_pb.SearchEventsRequest(types=[kind], text=text)
            return [row.json for row in AuditLogServiceStub(channel).SearchEvents(request).events]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("kept")
    host_ca, user_ca = CaShape().make(), CaShape().make()
    (folder / "hosts.pem").write_bytes(host_ca.pem)
    (folder / "users.pem").write_bytes(user_ca.pem)
    section = GrpcSection("localhost:0", host_ca=(folder / "hosts.pem",), user_ca=(folder / "users.pem",))
    with running_app(folder / "data", grpc=section, cluster=CLUSTER) as app:
        yield Service(app, host_ca, user_ca, folder / "data")


def new_session() -> str:
    return str(uuid.uuid4())


def start(session_id: str, upload_id: str = "") -> Request:
    return Request(start=pb.UploadStart(session_id=session_id, upload_id=upload_id))


def chunks(data: bytes, size: int = MIB, offset: int = 0) -> Iterator[Request]:
    for at in range(0, len(data), size):
        yield Request(chunk=pb.RecordingChunk(offset=offset + at, data=data[at : at + size]))


def upload(stub: RecordingServiceStub, session_id: str, data: bytes, upload_id: str = "") -> str:
    requests = iter([start(session_id, upload_id), *chunks(data)])
    *_, last = stub.UploadRecording(requests, timeout=60)
    assert last.durable_offset == len(data)
    return str(last.upload_id)


def record(stub: RecordingServiceStub, session_id: str, data: bytes) -> recording_pb2.Recording:
    upload_id = upload(stub, session_id, data)
    return stub.CompleteUpload(pb.CompleteUploadRequest(upload_id=upload_id), timeout=60).recording


def download(stub: RecordingServiceStub, session_id: str, **asked: Any) -> bytes:
    request = pb.DownloadRecordingRequest(session_id=session_id, **asked)
    return b"".join(answer.chunk for answer in stub.DownloadRecording(request, timeout=60))


def failing(call: Any) -> Failure:
    """The failure that the call must end with."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return failure_of(error)  # type: ignore[arg-type]  # has what those of grpc.aio have
    raise AssertionError(f"the call went well: {answer}")


TOUCHES: dict[str, Any] = {
    "GetUpload": lambda stub, session, upload: stub.GetUpload(pb.GetUploadRequest(upload_id=upload)),
    "AbortUpload": lambda stub, session, upload: stub.AbortUpload(pb.AbortUploadRequest(upload_id=upload)),
    "CompleteUpload": lambda stub, session, upload: stub.CompleteUpload(pb.CompleteUploadRequest(upload_id=upload)),
    "partial": lambda stub, session, upload: stub.CompleteUpload(
        pb.CompleteUploadRequest(upload_id=upload, partial=True)
    ),
    "UploadRecording": lambda stub, session, upload: list(stub.UploadRecording(iter([start(session, upload)]))),
}


@pytest.mark.parametrize("how", TOUCHES)
def test_anothers_upload_looks_like_none(service: Service, how: str) -> None:
    session = new_session()
    with service.node() as owner, service.node("host-2") as other, service.user("importer") as person:
        upload_id = upload(owner, session, b"mine")
        forged = upload_id[:-1] + ("0" if upload_id[-1] != "0" else "1")
        failures = [
            failing(lambda s=stub, u=asked: TOUCHES[how](s, session, u))  # type: ignore[misc]
            for stub in (other, person)
            for asked in (upload_id, forged, "0" * 64, "nothing like it")
        ]
        assert {(each.code, each.reason, each.message) for each in failures} == {
            (Codes.NOT_FOUND, "NOT_FOUND", failures[0].message)
        }
        assert owner.GetUpload(pb.GetUploadRequest(upload_id=upload_id)).upload.durable_offset == 4
    until(lambda: service.events("extaudit.access.denied", "another identity's"))


def test_the_administrator_may_complete_anothers_upload_but_only_as_partial(service: Service) -> None:
    session = new_session()
    with service.node() as owner, service.user("local-administrator") as admin, service.user("auditor") as auditor:
        upload_id = upload(owner, session, b"as far as it came")
        whole = pb.CompleteUploadRequest(upload_id=upload_id)
        assert failing(lambda: admin.CompleteUpload(whole)).code is Codes.NOT_FOUND
        partial = pb.CompleteUploadRequest(upload_id=upload_id, partial=True)
        answer = admin.CompleteUpload(partial)
        assert answer.recording.partial
        assert answer.recording.uploader.name == "host-1"
        assert download(auditor, session) == b"as far as it came"
        assert owner.CompleteUpload(whole).recording.partial


def test_a_stream_that_takes_an_upload_up_ends_the_one_that_had_it(service: Service) -> None:
    session = new_session()
    data = os.urandom(3 * MIB)
    with service.node() as first, service.node() as second:
        ended = threading.Event()

        def slowly() -> Iterator[Request]:
            yield start(session)
            yield from chunks(data[:MIB])
            ended.wait(60)

        stream = first.UploadRecording(slowly())
        upload_id = next(stream).upload_id
        assert next(response for response in stream if response.durable_offset == MIB)
        rest = iter([start(session, upload_id), *chunks(data[MIB:], offset=MIB)])
        responses = list(second.UploadRecording(rest, timeout=60))
        assert responses[0].durable_offset == MIB
        failure = failing(lambda: list(stream))
        ended.set()
        assert (failure.code, failure.reason) == (Codes.FAILED_PRECONDITION, "UPLOAD_TAKEN_UP")
        second.CompleteUpload(pb.CompleteUploadRequest(upload_id=upload_id, bytes=len(data)))
    with service.user("auditor") as auditor:
        assert download(auditor, session) == data


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (pb.CompleteUploadRequest(bytes=5), "RECORDING_MISMATCH"),
        (pb.CompleteUploadRequest(sha256="0" * 64), "RECORDING_MISMATCH"),
        (pb.CompleteUploadRequest(custody_digest="0" * 64), "RECORDING_MISMATCH"),
    ],
)
def test_what_is_not_what_the_client_says_is_not_completed(
    service: Service, request_: pb.CompleteUploadRequest, reason: str
) -> None:
    with service.node() as stub:
        request_.upload_id = upload(stub, new_session(), b"four")
        failure = failing(lambda: stub.CompleteUpload(request_))
        assert (failure.code, failure.reason) == (Codes.FAILED_PRECONDITION, reason)
        assert stub.CompleteUpload(pb.CompleteUploadRequest(upload_id=request_.upload_id, bytes=4)).recording.bytes == 4


def test_a_gap_is_refused_and_what_came_before_it_kept(service: Service) -> None:
    session = new_session()
    with service.node() as stub:
        call = stub.UploadRecording(iter([start(session), *chunks(b"abc"), *chunks(b"x", offset=9)]))
        told = []
        failure = failing(lambda: [told.append(each) for each in call])
        assert (failure.code, failure.reason) == (Codes.FAILED_PRECONDITION, "CHUNK_GAP")
        assert told[-1].durable_offset == 3
        assert upload(stub, session, b"abcdef", told[-1].upload_id) == told[-1].upload_id


RANGES = [(0, 0), (0, 1), (5, 10), (8 * MIB - 1, 2), (8 * MIB, 5), (9 * MIB - 3, 0), (9 * MIB - 3, 99), (9 * MIB, 0)]


@pytest.fixture(scope="module")
def nine(service: Service) -> tuple[str, bytes]:
    """A recording of 9 MiB: two parts."""
    session, data = new_session(), os.urandom(9 * MIB)
    with service.node() as stub:
        record(stub, session, data)
    return session, data


@pytest.mark.parametrize(("offset", "length"), RANGES)
def test_a_range_is_given_as_it_is(service: Service, nine: tuple[str, bytes], offset: int, length: int) -> None:
    session, data = nine
    with service.user("auditor") as stub:
        expected = data[offset : offset + length] if length else data[offset:]
        assert download(stub, session, offset=offset, length=length) == expected


def test_a_range_beyond_the_end_is_refused(service: Service, nine: tuple[str, bytes]) -> None:
    with service.user("auditor") as stub:
        failure = failing(lambda: download(stub, nine[0], offset=len(nine[1]) + 1))
        assert (failure.code, failure.violations) == (Codes.INVALID_ARGUMENT, ["offset"])


@pytest.mark.parametrize("at", [0, 8 * MIB - 1, 8 * MIB, 17 * MIB])
def test_of_a_changed_part_no_byte_leaves(service: Service, at: int) -> None:
    session, data = new_session(), os.urandom(17 * MIB + 1)
    with service.node() as stub:
        record(stub, session, data)
    path = service.data_dir / "storage" / "recordings" / f"{session}.tar"
    path.chmod(0o600)
    path.write_bytes(flipped(data, at))
    part = at // (8 * MIB)
    given = bytearray()
    with service.user("auditor") as stub:
        call = stub.DownloadRecording(pb.DownloadRecordingRequest(session_id=session), timeout=60)
        failure = failing(lambda: [given.extend(answer.chunk) for answer in call])
        assert (failure.code, failure.reason) == (Codes.DATA_LOSS, "RECORDING_DAMAGED")
        assert bytes(given) == data[: part * 8 * MIB]
        if part:
            assert download(stub, session, length=part * 8 * MIB) == data[: part * 8 * MIB]
        events = stub.StreamRecordingEvents(pb.StreamRecordingEventsRequest(session_id=session), timeout=60)
        assert failing(lambda: list(events)).code is Codes.DATA_LOSS


def test_of_many_uploads_at_once_a_bad_and_a_stalled_one_block_no_other(service: Service) -> None:
    stall = threading.Event()

    def stalled(stub: RecordingServiceStub) -> Any:
        def requests() -> Iterator[Request]:
            yield start(new_session())
            yield from chunks(b"abc")
            stall.wait(60)

        return list(stub.UploadRecording(requests(), timeout=60))

    def malformed(stub: RecordingServiceStub) -> Any:
        return failing(lambda: upload(stub, "not-a-session", b"abc"))

    with service.node() as stub, ThreadPoolExecutor(20) as threads:
        bad, slow = threads.submit(malformed, stub), threads.submit(stalled, stub)
        data = [os.urandom(MIB + number) for number in range(18)]
        done = [threads.submit(record, stub, new_session(), each) for each in data]
        recordings = [each.result(60) for each in done]
        assert [each.bytes for each in recordings] == [len(each) for each in data]
        assert bad.result(60).code is Codes.INVALID_ARGUMENT
        assert not slow.done()
        stall.set()
        assert slow.result(60)[-1].durable_offset == 3


def test_who_took_part_reads_the_recording_and_to_others_there_is_none(service: Service) -> None:
    session = new_session()
    with service.node() as stub:
        record(stub, session, b"recorded")
    end = b'{"event":"session.end","sid":"%s","user":"alice","participants":["alice"],"uid":"%s"}'
    service.emit(end % (session.encode(), session.encode()))
    with service.user("access") as alice, service.user("access", name="bob") as bob:
        assert download(alice, session) == b"recorded"
        assert len(list(alice.StreamRecordingEvents(pb.StreamRecordingEventsRequest(session_id=session)))) >= 2
        hidden = failing(lambda: download(bob, session))
        none = failing(lambda: download(bob, new_session()))
        assert (hidden.code, hidden.reason, hidden.message) == (none.code, none.reason, none.message)
        request = pb.ListRecordingsRequest(session_id=session)
        assert [each.session_id for each in alice.ListRecordings(request).sessions] == [session]
        assert list(bob.ListRecordings(request).sessions) == []


def test_opening_leaves_its_trace(service: Service, nine: tuple[str, bytes]) -> None:
    with service.user("auditor", name="reader") as stub:
        download(stub, nine[0], offset=7, length=9)
    (event,) = [each for each in service.events("extaudit.recording.read", nine[0]) if b'"reader"' in each]
    for said in (b'"purpose":"download"', b'"offset":7', b'"length":9', b'"sid":"%s"' % nine[0].encode()):
        assert said in event
