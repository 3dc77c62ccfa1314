"""A service whose answers a test decides, behind real mutual TLS on a socket of 127.0.0.1.

It stands in for the server so that the client can be tested with answers that a healthy server never gives.
"""
# ruff: noqa: N802 (gRPC names the methods)

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import audit_log_service_pb2_grpc as pb_grpc
from extaudit.v1 import event_export_pb2 as export_pb
from extaudit.v1 import event_watch_pb2 as watch_pb
from extaudit.v1 import recording_service_pb2 as recording_pb
from extaudit.v1 import recording_service_pb2_grpc, status_service_pb2, status_service_pb2_grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from tests.unit.client.certificates import Pki


class Refused(Exception):
    """Makes a call fail with this status and these details."""

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str = "",
        message: str = "refused",
        violations: tuple[tuple[str, str], ...] = (),
        retry_after: float | None = None,
        domain: str = "extaudit",
    ) -> None:
        super().__init__(message)
        details: list[Any] = []
        if reason:
            details.append(error_details_pb2.ErrorInfo(reason=reason, domain=domain))
        if violations:
            field_violation = error_details_pb2.BadRequest.FieldViolation
            listed = [field_violation(field=name, description=text) for name, text in violations]
            details.append(error_details_pb2.BadRequest(field_violations=listed))
        if retry_after is not None:
            info = error_details_pb2.RetryInfo()
            info.retry_delay.FromMilliseconds(round(retry_after * 1000))
            details.append(info)
        packed = []
        for detail in details:
            packed.append(AnyMessage())
            packed[-1].Pack(detail)
        self.status = status_pb2.Status(code=code.value[0], message=message, details=packed)


def acknowledge(request: pb.EmitEventsRequest, **members: Any) -> pb.EmitEventsResponse:
    """Acknowledge one message, every event accepted unless `members` say otherwise."""
    accepted = len(request.events) - len(members.get("refused", ())) - len(members.get("repeated", ()))
    if accepted > 0:
        members.setdefault("sequences", [pb.SequenceRange(first=1, last=accepted)])
    entry = pb.MessageAcknowledgement(
        message_number=request.message_number, storage="default", log_id="log1", **members
    )
    return pb.EmitEventsResponse(durable_through=request.message_number, messages=[entry])


def acknowledge_all(requests: Iterator[pb.EmitEventsRequest]) -> Iterator[pb.EmitEventsResponse]:
    for request in requests:
        yield acknowledge(request)


@dataclass
class FakeService:
    """What each call does; a test replaces what it is about."""

    emit: Callable[[pb.EmitEventRequest], pb.EmitEventResponse] = lambda _: pb.EmitEventResponse()
    emit_stream: Callable[[Iterator[pb.EmitEventsRequest]], Iterator[pb.EmitEventsResponse]] = acknowledge_all
    search: Callable[[pb.SearchEventsRequest], pb.SearchEventsResponse] = lambda _: pb.SearchEventsResponse()
    get: Callable[[pb.GetEventRequest], Iterator[pb.GetEventResponse]] = lambda _: iter(())
    watch: Callable[[watch_pb.WatchEventsRequest], Iterator[watch_pb.WatchEventsResponse]] = lambda _: iter(())
    chunks: Callable[[export_pb.ListEventChunksRequest], export_pb.ListEventChunksResponse] = lambda _: (
        export_pb.ListEventChunksResponse()
    )
    export: Callable[[export_pb.ExportEventsRequest], Iterator[export_pb.ExportEventsResponse]] = lambda _: iter(())
    status: Callable[[], status_service_pb2.GetStatusResponse] = status_service_pb2.GetStatusResponse
    upload: Callable[
        [Iterator[recording_pb.UploadRecordingRequest]], Iterator[recording_pb.UploadRecordingResponse]
    ] = lambda _: iter(())
    download: Callable[[recording_pb.DownloadRecordingRequest], Iterator[recording_pb.DownloadRecordingResponse]] = (
        lambda _: iter(())
    )
    searches: list[pb.SearchEventsRequest] = field(default_factory=list)
    watches: list[watch_pb.WatchEventsRequest] = field(default_factory=list)
    gets: list[pb.GetEventRequest] = field(default_factory=list)
    callers: list[str] = field(default_factory=list)
    """Common names of the certificates that asked for the status."""
    exports: list[export_pb.ExportEventsRequest] = field(default_factory=list)
    address: str = ""


class _AuditLog(pb_grpc.AuditLogServiceServicer):
    def __init__(self, fake: FakeService) -> None:
        self._fake = fake

    def EmitEvent(self, request: Any, context: Any) -> Any:
        with _refusals(context):
            return self._fake.emit(request)

    def EmitEvents(self, request_iterator: Any, context: Any) -> Any:
        with _refusals(context):
            yield from self._fake.emit_stream(request_iterator)

    def SearchEvents(self, request: Any, context: Any) -> Any:
        self._fake.searches.append(request)
        with _refusals(context):
            return self._fake.search(request)

    def GetEvent(self, request: Any, context: Any) -> Any:
        self._fake.gets.append(request)
        with _refusals(context):
            yield from self._fake.get(request)

    def ListEventChunks(self, request: Any, context: Any) -> Any:
        with _refusals(context):
            return self._fake.chunks(request)

    def ExportEvents(self, request: Any, context: Any) -> Any:
        self._fake.exports.append(request)
        with _refusals(context):
            yield from self._fake.export(request)

    def WatchEvents(self, request: Any, context: Any) -> Any:
        self._fake.watches.append(request)
        with _refusals(context):
            yield from self._fake.watch(request)


class _Recordings(recording_service_pb2_grpc.RecordingServiceServicer):
    def __init__(self, fake: FakeService) -> None:
        self._fake = fake

    def UploadRecording(self, request_iterator: Any, context: Any) -> Any:
        with _refusals(context):
            yield from self._fake.upload(request_iterator)

    def DownloadRecording(self, request: Any, context: Any) -> Any:
        with _refusals(context):
            yield from self._fake.download(request)


class _Status(status_service_pb2_grpc.StatusServiceServicer):
    def __init__(self, fake: FakeService) -> None:
        self._fake = fake

    def GetStatus(self, request: Any, context: Any) -> Any:
        self._fake.callers.append(context.auth_context()["x509_common_name"][0].decode())
        with _refusals(context):
            return self._fake.status()


@contextmanager
def _refusals(context: grpc.ServicerContext) -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        context.abort_with_status(rpc_status.to_status(refused.status))


@contextmanager
def serve(fake: FakeService, pki: Pki) -> Iterator[FakeService]:
    """Serve on a free port until the block ends; `fake.address` is set."""
    server = grpc.server(ThreadPoolExecutor(4))
    pb_grpc.add_AuditLogServiceServicer_to_server(_AuditLog(fake), server)
    status_service_pb2_grpc.add_StatusServiceServicer_to_server(_Status(fake), server)
    recording_service_pb2_grpc.add_RecordingServiceServicer_to_server(_Recordings(fake), server)
    credentials = grpc.ssl_server_credentials(
        [(pki.server_key.read_bytes(), pki.server_cert.read_bytes())], pki.ca.read_bytes(), require_client_auth=True
    )
    fake.address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    server.start()
    try:
        yield fake
    finally:
        server.stop(None).wait(60)
