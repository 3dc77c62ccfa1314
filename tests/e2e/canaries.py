"""Secrets planted everywhere that secrets come from, and everything that a server says."""

from __future__ import annotations

import contextlib
import secrets
import ssl
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_export_pb2 as export_pb
from extaudit.v1 import event_pb2
from extaudit.v1 import event_query_pb2 as query_pb
from extaudit.v1 import event_watch_pb2 as watch_pb
from extaudit.v1 import recording_service_pb2 as recording_pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit.v1.recording_service_pb2_grpc import RecordingServiceStub
from extaudit.v1.status_service_pb2 import GetStatusRequest
from extaudit.v1.status_service_pb2_grpc import StatusServiceStub


@dataclass
class Canaries:
    """Secrets by what they are, none of which may be seen."""

    planted: dict[str, str] = field(default_factory=dict)

    def plant(self, what: str) -> str:
        """A new secret; of letters only, so that no encoding changes it."""
        return self.planted.setdefault(what, f"canary{secrets.token_hex(12)}")

    def plant_key(self, path: Path) -> None:
        """The lines of a private key's PEM."""
        for number, line in enumerate(path.read_text().splitlines()[1:-1]):
            self.planted[f"{path.name} line {number}"] = line

    def seen_in(self, texts: Iterable[str]) -> list[str]:
        """What was found of them."""
        said = "\n".join(texts)
        return [what for what, secret in self.planted.items() if secret in said]


@dataclass
class Caller:
    """Calls, and keeps whatever clients are told: errors with details, statuses."""

    told: list[str] = field(default_factory=list)

    def call(self, what: Callable[[], Any]) -> None:
        """Call; the answer of a search is the one thing that may hold what is searched for, so none is kept."""
        try:
            what()
        except grpc.RpcError as error:
            failed: Any = error
            self.told += [repr(failed), failed.details(), *(repr(item) for item in failed.trailing_metadata() or ())]

    def events(self, channel: grpc.Channel, canaries: Canaries) -> None:
        """Right and wrong events, as JSON and as fields, one at a time and in a stream."""
        stub = AuditLogServiceStub(channel)
        payload, name = canaries.plant("event"), canaries.plant("event's member name")
        texts = [
            '{"event":"a","password":"%s","user":"%s"}',
            '{"event":5,"password":"%s","%s":1}',
            '{"event":"a","time":"%s","uid":"%s with blanks"}',
            '{"event":"a","event":"%s","x":"%s"}',
            '{"event":"a","%s":NaN,"x":"%s"',
        ]
        for text in texts:
            message = event_pb2.EventPayload(json=(text % (payload, name)).encode())
            self.call(lambda m=message: stub.EmitEvent(pb.EmitEventRequest(event=m)))  # type: ignore[misc]
            request = pb.EmitEventsRequest(message_number=1, events=[message])
            self.call(lambda r=request: self._keep(stub.EmitEvents(iter([r]))))  # type: ignore[misc]
        fields = event_pb2.EventPayload()
        fields.fields.update({"event": 1.5, name: payload})
        self.call(lambda: stub.EmitEvent(pb.EmitEventRequest(event=fields)))

    def reads(self, channel: grpc.Channel, canaries: Canaries) -> None:
        """Searches and gets, right and wrong."""
        stub = AuditLogServiceStub(channel)
        text, token, uid = (canaries.plant(each) for each in ("search text", "page token", "uid asked for"))
        equality = query_pb.FieldEquality(path=[canaries.plant("field")], string_value=canaries.plant("field's value"))
        for request in (
            pb.SearchEventsRequest(text=text, fields=[equality]),
            pb.SearchEventsRequest(text=text, page_token=token),
            pb.SearchEventsRequest(text=text, page_size=-1, storage=canaries.plant("storage")),
            pb.SearchEventsRequest(text=text * 5000),
        ):
            self.call(lambda r=request: stub.SearchEvents(r))  # type: ignore[misc]
        wanted = query_pb.EventFilter(text=text, fields=[equality])
        log = canaries.plant("log of a place")
        for watch in (
            watch_pb.WatchEventsRequest(filter=wanted),
            watch_pb.WatchEventsRequest(filter=wanted, storage="nowhere"),
            watch_pb.WatchEventsRequest(filter=wanted, after=watch_pb.LogPlace(logs={"": 1, log: 1})),
        ):
            self.call(lambda r=watch: next(stub.WatchEvents(r, timeout=60)))  # type: ignore[misc]
        self.call(lambda: list(stub.GetEvent(pb.GetEventRequest(uid=uid, digest=token))))
        self.call(lambda: list(stub.GetEvent(pb.GetEventRequest(uid=uid))))
        for listed in (
            export_pb.ListEventChunksRequest(storage=canaries.plant("storage of chunks")),
            export_pb.ListEventChunksRequest(page_token=token),
        ):
            self.call(lambda r=listed: stub.ListEventChunks(r))  # type: ignore[misc]
        wanted = query_pb.EventFilter(text=text, fields=[equality])
        for chunk in (f"default/{'0' * 20}/1-2", canaries.plant("chunk id")):
            exported = export_pb.ExportEventsRequest(chunk_id=chunk, filter=wanted)
            self.call(lambda r=exported: list(stub.ExportEvents(r)))  # type: ignore[misc]

    def recordings(self, channel: grpc.Channel, canaries: Canaries) -> None:
        """Recordings that go up and down, right and wrong, and whatever else has a text in it."""
        stub = RecordingServiceStub(channel)
        data, session = canaries.plant("recording bytes").encode(), "0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11"
        start = recording_pb.UploadRecordingRequest(start=recording_pb.UploadStart(session_id=session))
        answers = [
            stub.UploadRecording(iter([start, _chunk(0, data), *rest]))
            for rest in ([], [_chunk(999, data)], [start], [_chunk(0, b"")])
        ]
        for answer in answers:
            self.call(lambda a=answer: self._keep(a))  # type: ignore[misc]
        upload = next(stub.UploadRecording(iter([start, _chunk(0, data)]))).upload_id
        self.call(lambda: stub.CompleteUpload(recording_pb.CompleteUploadRequest(upload_id=upload, bytes=1)))
        self.call(lambda: stub.CompleteUpload(recording_pb.CompleteUploadRequest(upload_id=upload)))
        self.call(lambda: list(stub.DownloadRecording(recording_pb.DownloadRecordingRequest(session_id=session))))
        events = recording_pb.StreamRecordingEventsRequest(session_id=session)
        self.call(lambda: self._keep(stub.StreamRecordingEvents(events)))
        wrong = canaries.plant("session id"), canaries.plant("upload id"), canaries.plant("list token")
        asked = recording_pb.DownloadRecordingRequest(session_id=wrong[0], upload_id=wrong[1])
        self.call(lambda: list(stub.DownloadRecording(asked)))
        self.call(lambda: stub.GetUpload(recording_pb.GetUploadRequest(upload_id=wrong[1])))
        self.call(lambda: stub.ListRecordings(recording_pb.ListRecordingsRequest(page_token=wrong[2])))
        text = canaries.plant("text that sessions are listed by")
        self.call(lambda: stub.ListRecordings(recording_pb.ListRecordingsRequest(text=text)))

    def with_token(self, channel: grpc.Channel, token: str) -> None:
        """Any call with a bearer token."""
        metadata = (("authorization", f"Bearer {token}"), ("x-request-id", "planted-request-id"))
        stub = AuditLogServiceStub(channel)
        self.call(lambda: stub.SearchEvents(pb.SearchEventsRequest(), metadata=metadata))

    def status(self, channel: grpc.Channel) -> None:
        """What GetStatus tells."""
        self.told.append(str(StatusServiceStub(channel).GetStatus(GetStatusRequest())))

    def http(self, address: str) -> None:
        """What the operations listener tells."""
        for path in ("metrics", "readyz", "healthz", "nothing"):
            with contextlib.suppress(urllib.error.HTTPError, ssl.SSLError):
                self.told.append(urllib.request.urlopen(f"http://{address}/{path}", timeout=60).read().decode())

    def public_documents(self, address: str) -> None:
        """What the public listener tells."""
        for name in ("openid-configuration", "jwks-oidc"):
            url = f"http://{address}/.well-known/{name}"
            self.told.append(urllib.request.urlopen(url, timeout=60).read().decode())

    def _keep(self, answers: Iterable[Any]) -> None:
        self.told += [str(answer) for answer in answers]


def _chunk(offset: int, data: bytes) -> recording_pb.UploadRecordingRequest:
    return recording_pb.UploadRecordingRequest(chunk=recording_pb.RecordingChunk(offset=offset, data=data))
