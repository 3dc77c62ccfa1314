"""Exports from the running service over mTLS: what searches give, byte for byte, and each sequence once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_export_pb2 as export_pb
from extaudit.v1 import event_pb2
from extaudit.v1 import event_query_pb2 as query_pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit.v1.event_watch_pb2 import LogPlace

from server.certificates.issuing import issue_user
from server.config import JournalSection
from server.lifecycle import App
from tests.polling import until
from tests.running_app import running_app

SMALL = JournalSection(cut_events=20)
OWN_EVENTS = """\
kind: role
version: v7
metadata: {name: own-events}
spec: {allow: {rules: [{resources: [event], verbs: [list], where: 'equals(event.owner, user.metadata.name)'}]}}
"""
Key = tuple[str, int]


@contextmanager
def stub_of(app: App, paths: Mapping[str, str] | None = None) -> Iterator[AuditLogServiceStub]:
    found = paths or app.ready
    pems = (Path(found[name]).read_bytes() for name in ("ca", "key", "cert"))
    with grpc.secure_channel(app.ready["grpc"], grpc.ssl_channel_credentials(*pems)) as channel:
        yield AuditLogServiceStub(channel)


def emit(stub: AuditLogServiceStub, uid: str, **members: object) -> Key:
    data = json.dumps({"event": "x", "uid": uid, **members}).encode()
    answer = stub.EmitEvent(pb.EmitEventRequest(event=event_pb2.EventPayload(json=data)))
    return answer.log_id, answer.sequence


class Follower:
    """Exports what there is, again and again, from the place where it was."""

    def __init__(self) -> None:
        self.place: dict[str, int] = {}
        self.given: dict[Key, bytes] = {}
        self.chunks = 0

    def look(self, stub: AuditLogServiceStub, **filters: Any) -> list[export_pb.EventChunk]:
        """Export all chunks that are new; nothing comes twice."""
        chunks: list[export_pb.EventChunk] = []
        request = export_pb.ListEventChunksRequest(after=LogPlace(logs=self.place), page_size=2)
        while True:
            page = stub.ListEventChunks(request)
            chunks += page.chunks
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
        for chunk in chunks:
            asked = export_pb.ExportEventsRequest(
                chunk_id=chunk.id,
                after_sequence=self.place.get(chunk.log_id, 0),
                filter=query_pb.EventFilter(**filters),
            )
            for message in stub.ExportEvents(asked):
                assert not message.missing
                self._take(message.columns)
            assert (message.done, message.through_sequence) == (True, chunk.last_sequence)
        self.place = dict(page.complete_through.logs)
        self.chunks += len(chunks)
        return chunks

    def _take(self, columns: export_pb.EventColumns) -> None:
        start = 0
        for sequence, size in zip(columns.sequences, columns.json_sizes, strict=True):
            assert (columns.log_id, sequence) not in self.given
            self.given[columns.log_id, sequence] = columns.json[start : start + size]
            start += size


def searched(stub: AuditLogServiceStub, **filters: Any) -> dict[Key, bytes]:
    """What a search gives, by log and sequence."""
    found: dict[Key, bytes] = {}
    request = pb.SearchEventsRequest(**filters)
    while True:
        page = stub.SearchEvents(request)
        assert page.complete
        for row in page.events:
            found |= {(receipt.log_id, receipt.sequence): row.json for receipt in row.receipts}
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def store(app: App, stub: AuditLogServiceStub, last: Key) -> None:
    """Have what is acknowledged delivered, up to this event; what comes meanwhile may stay in the journal."""
    app.threads.journal.submit(app.log.writer.cut).result()
    log_id, sequence = last
    request = export_pb.ListEventChunksRequest()
    until(lambda: stub.ListEventChunks(request).complete_through.logs[log_id] >= sequence)


def everything_is_stored(app: App) -> bool:
    """Whether nothing but the open section is left in the journal."""
    return not app.log.tail.to_deliver("default")


def test_an_export_gives_what_a_search_gives_byte_for_byte(tmp_path: Path) -> None:
    with running_app(tmp_path / "data", journal=SMALL) as app, stub_of(app) as stub:
        for number in range(60):
            last = emit(stub, f"u-{number}", text="ü" * number, user="alice" if number % 3 else "bob")
        store(app, stub, last)
        follower = Follower()
        follower.look(stub, types=["x"], users=["alice"])
        assert follower.given == searched(stub, types=["x"], users=["alice"])
        assert len(follower.given) == 40


def test_a_follower_gets_every_acknowledged_event_once_beside_emits_deliveries_and_restarts(tmp_path: Path) -> None:
    acknowledged: dict[Key, str] = {}
    follower = Follower()

    def work(stub: AuditLogServiceStub, life: int) -> None:
        for number in range(120):
            uid = f"u-{life}-{number}"
            acknowledged[emit(stub, uid)] = uid

    for life in range(3):
        with running_app(tmp_path / "data", journal=SMALL) as app, stub_of(app) as stub:
            emitting = threading.Thread(target=work, args=(stub, life))
            emitting.start()
            while emitting.is_alive():
                follower.look(stub)
            emitting.join()
    with running_app(tmp_path / "data", journal=SMALL) as app, stub_of(app) as stub:
        app.threads.journal.submit(app.log.writer.cut).result()
        until(lambda: everything_is_stored(app))
        # What its own looks and exports leave comes as well, and so little that it comes to an end.
        until(lambda: not follower.look(stub))
    assert follower.chunks > 15
    given = {key: json.loads(data)["uid"] for key, data in follower.given.items()}
    assert {key: given.get(key) for key in acknowledged} == acknowledged
    # Nothing is left out between the first and the last: the service's own events are among them.
    for log_id in follower.place:
        sequences = sorted(sequence for log, sequence in given if log == log_id)
        assert sequences == list(range(1, follower.place[log_id] + 1))


def test_a_caller_with_a_condition_exports_what_it_admits_and_learns_no_numbers(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with running_app(data_dir, journal=SMALL) as app, stub_of(app) as admin:
        (data_dir / "roles" / "own.yaml").write_text(OWN_EVENTS)
        until(lambda: _has_role(app))
        for number in range(30):
            last = emit(admin, f"u-{number}", owner="alice" if number % 4 == 0 else "bob")
        store(app, admin, last)
        issued = issue_user(data_dir, "alice", ["own-events"], 1, tmp_path / "alice")
        paths = {"ca": str(issued.ca), "key": str(issued.key), "cert": str(issued.certificate)}
        with stub_of(app, paths) as alice:
            follower = Follower()
            chunks = follower.look(alice)
        uids = sorted(json.loads(data)["uid"] for data in follower.given.values())
        assert uids == sorted(f"u-{number}" for number in range(0, 30, 4))
        assert chunks
        assert not any(
            chunk.events or chunk.bytes or chunk.HasField("first_time") or chunk.HasField("last_time")
            for chunk in chunks
        )


def _has_role(app: App) -> bool:
    _, roles = app.status._surroundings.policy()
    return "own-events" in roles
