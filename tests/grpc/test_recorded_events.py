"""ListRecordings, StreamRecordingEvents and ReindexRecordings at the edge: refusals, mapping, bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from extaudit.recording.v1.recorded_event_pb2 import OneOf
from extaudit.v1 import recording_pb2
from extaudit.v1 import recording_service_pb2 as pb
from extaudit.v1.recording_service_pb2_grpc import RecordingServiceStub
from google.protobuf.timestamp_pb2 import Timestamp

from rbac.identities import SERVICE
from rbac.policy import load_policy
from server.errors import NotFound
from server.grpc_api.recorded_event_messages import MOST_BYTES
from server.recordings.format.items import Damage, EncryptedPart, Summary
from server.recordings.format.recorded_event import RecordedEvent, read_event
from server.recordings.opening import Selection
from server.recordings.recording import Recording, Upload, UploadState
from server.recordings.sessions.session import Session, SessionKind, SessionPage, SessionQuery
from tests.grpc.failures import all_of, failing
from tests.grpc.rig import serving
from tests.loops import in_loop

Codes = grpc.StatusCode
SESSION = "0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11"
SUMMARY = Summary(100, 4, 1, 2, 3, 5, 6, 7)
WRONG_TIME = Timestamp(seconds=2**60)

REFUSED: list[tuple[str, Any, list[str]]] = [
    (
        "ListRecordings",
        pb.ListRecordingsRequest(
            from_time=WRONG_TIME,
            to_time=WRONG_TIME,
            active_at=WRONG_TIME,
            kinds=[99],  # type: ignore[list-item]  # what a newer client might send
            users=["u"] * 101,
            participant="p" * 257,
            server_id="s" * 257,
            text="t" * 257,
            session_id="x",
            page_token="t" * 65_537,
        ),
        [
            "from_time", "to_time", "active_at", "kinds", "users", "participant", "server_id", "text", "session_id",
            "page_token",
        ],
    ),
    ("StreamRecordingEvents", pb.StreamRecordingEventsRequest(), ["session_id"]),
    (
        "StreamRecordingEvents",
        pb.StreamRecordingEventsRequest(session_id=SESSION, upload_id="u" * 513, start_index=-1),
        ["upload_id", "start_index"],
    ),
]  # fmt: skip


async def call(channel: grpc.aio.Channel, method: str, request: Any) -> Any:
    answer = getattr(RecordingServiceStub(channel), method)(request)
    return await answer if method == "ListRecordings" else await all_of(answer)


@pytest.mark.parametrize(("method", "request_", "violations"), REFUSED)
def test_every_wrong_field_is_named_and_nothing_is_asked(method: str, request_: Any, violations: list[str]) -> None:
    @in_loop
    async def check() -> None:
        async with serving() as rig, rig.user("auditor") as channel:
            failure = await failing(call(channel, method, request_))
            assert (failure.code, failure.violations) == (Codes.INVALID_ARGUMENT, violations)
            assert not rig.touched

    check()


@in_loop
async def test_every_filter_reaches_the_query_and_none_is_none() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        request = pb.ListRecordingsRequest(
            from_time=Timestamp(seconds=1),
            to_time=Timestamp(seconds=2),
            active_at=Timestamp(seconds=3),
            kinds=[recording_pb2.SESSION_KIND_SSH],
            users=["alice"],
            participant="bob",
            server_id="s-1",
            has_recording=False,
            has_upload=True,
            text="t",
            session_id=SESSION,
            page_size=5000,
            page_token="next",
        )
        await call(channel, "ListRecordings", request)
        await call(channel, "ListRecordings", pb.ListRecordingsRequest())
        kinds, users = frozenset({SessionKind.SSH}), frozenset({"alice"})
        full = SessionQuery(1000, 2000, kinds, users, "bob", "s-1", 3000, False, True, "t", SESSION, 1000, "next")
        assert [query for _, query in rig.lists.asked] == [full, SessionQuery()]


@in_loop
async def test_a_session_is_told_with_what_is_kept_of_it() -> None:
    recording = Recording(SESSION, "u-1", "default", 9, 1, "c", "d", SERVICE, 1_500, 2_000, partial=True)
    upload = Upload("u-2", SESSION, UploadState.OPEN, 4, "default", SERVICE, 1_000, abandoned=True)
    session = Session(
        SESSION, SessionKind.DATABASE, "alice", ("alice", "bob"), "s-1", "db", 1_000, None, recording, (), (upload,)
    )
    async with serving() as rig, rig.user("auditor") as channel:
        rig.lists.page = SessionPage((session, Session(SESSION)), "next", ("events of a log",))
        answer = await call(channel, "ListRecordings", pb.ListRecordingsRequest())
        assert (answer.next_page_token, answer.complete, list(answer.missing)) == ("next", False, ["events of a log"])
        told, bare = answer.sessions
        assert (told.kind, told.user, list(told.participants)) == (3, "alice", ["alice", "bob"])
        assert (told.start_time.ToMilliseconds(), told.HasField("end_time")) == (1_000, False)
        assert told.recording.partial
        assert told.uploads[0].abandoned
        assert not bare.HasField("recording")
        assert bare.kind == recording_pb2.SESSION_KIND_UNSPECIFIED


def shown(index: int, data: bytes) -> RecordedEvent:
    record = OneOf()
    record.session_print.data, record.session_print.delay_milliseconds = data, 250
    record.session_print.metadata.index = index
    record.session_print.metadata.time.FromMilliseconds(1_500)
    return read_event(record.SerializeToString(), 1)


UNKNOWN = b"\xfa\x3f\x00"
"""A record of an event whose variant, 1023, nobody knows."""


@in_loop
async def test_events_damages_and_the_summary_come_in_order() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        rig.opening.batches = [
            [shown(0, b"shown"), Damage(7, 2, "torn", None, 3), EncryptedPart(9, 3, 10)],
            [read_event(UNKNOWN, 1), SUMMARY],
        ]
        request = pb.StreamRecordingEventsRequest(session_id=SESSION, upload_id="u", start_index=4)
        first, events, damage, encrypted, unknown, summary = await call(channel, "StreamRecordingEvents", request)
        assert first.HasField("recording")
        (printed,) = events.events.events
        assert (printed.index, printed.data, printed.delay_ms, printed.raw) == (0, b"shown", 250, b"")
        assert printed.time.ToMilliseconds() == 1_500
        assert (damage.damage.offset, damage.damage.part, damage.damage.reason) == (7, 2, "torn")
        assert (damage.damage.doubtful, damage.damage.encrypted) == (3, False)
        assert encrypted.damage.encrypted
        assert not unknown.events.events[0].HasField("index")
        assert (unknown.events.events[0].variant, unknown.events.events[0].raw) == (1023, UNKNOWN)
        told = summary.summary
        assert (told.bytes, told.parts, told.encrypted_parts, told.events) == (100, 4, 1, 2)
        assert (told.skipped, told.missing, told.damages, told.doubtful) == (3, 5, 6, 7)
        assert (rig.opening.asked[0][1], rig.opening.start_indexes) == (Selection(SESSION, "u"), [4])


@in_loop
async def test_messages_of_events_are_bounded() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        rig.opening.batches = [[shown(number, bytes(60_000)) for number in range(40)], [SUMMARY]]
        request = pb.StreamRecordingEventsRequest(session_id=SESSION)
        responses = await call(channel, "StreamRecordingEvents", request)
        sizes = [each.ByteSize() for each in responses if each.HasField("events")]
        assert sum(len(each.events.events) for each in responses) == 40
        assert len(sizes) == 3
        assert max(sizes) <= MOST_BYTES + 16


@in_loop
async def test_how_far_an_index_has_come_is_told() -> None:
    async with serving() as rig, rig.user("local-administrator") as channel:
        first, last = await call(channel, "ReindexRecordings", pb.ReindexRecordingsRequest())
        assert (first.sessions, first.batches, first.done) == (1, 2, False)
        assert (last.done, list(last.missing)) == (True, ["something"])
        assert rig.lists.asked[0][0].identity.name == "alice"


@pytest.mark.parametrize(
    ("method", "role"),
    [("ListRecordings", "importer"), ("StreamRecordingEvents", "importer"), ("ReindexRecordings", "auditor")],
)
def test_who_may_not_touches_nothing(method: str, role: str) -> None:
    @in_loop
    async def check() -> None:
        async with serving() as rig, rig.user(role) as channel:
            failure = await failing(call(channel, method, getattr(pb, f"{method}Request")()))
            assert failure.code is Codes.PERMISSION_DENIED
            assert not rig.touched

    check()


READER = """
kind: role
version: v7
metadata: {name: reader}
spec:
  allow:
    rules:
      - resources: [session]
        verbs: [list, read]
"""
CONDITION = '        where: contains(session.participants, "nobody")'


@pytest.mark.parametrize("method", ["DownloadRecording", "StreamRecordingEvents"])
@in_loop
async def test_a_right_that_a_condition_takes_away_ends_the_stream_before_its_next_piece(
    method: str, tmp_path: Path
) -> None:
    role = tmp_path / "reader.yaml"
    policies = []
    for text in (READER, READER + CONDITION):
        role.write_text(text)
        policies.append(load_policy([role]))
    async with serving() as rig, rig.user("reader") as channel:
        rig.policy.current = policies[0]
        rig.opening.data, rig.opening.batches = b"x" * 10, [[SUMMARY], [SUMMARY]]
        rig.opening.loses = NotFound("none", hidden="h")
        rig.opening.meanwhile = lambda: setattr(rig.policy, "current", policies[1])
        stream = getattr(RecordingServiceStub(channel), method)(getattr(pb, f"{method}Request")(session_id=SESSION))
        for _ in ("what it is", "the first piece"):
            assert await stream.read() is not grpc.aio.EOF
        assert (await failing(stream.read())).code is Codes.NOT_FOUND
