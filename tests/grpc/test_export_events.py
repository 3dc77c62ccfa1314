"""ListEventChunks and ExportEvents at the edge: refusals, mapping, rights that end, and the end of service."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import numpy as np
import pytest
from extaudit.v1 import event_export_pb2 as pb
from extaudit.v1 import event_pb2, event_watch_pb2
from extaudit.v1 import event_query_pb2 as query_pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from google.protobuf.timestamp_pb2 import Timestamp

from rbac.identities import IdentityKind
from rbac.policy import Policy
from server.audit_log.batch_decoding import Numbers, texts_in
from server.audit_log.export.blocks import EventBlock
from server.audit_log.export.chunk import Chunk, ChunkId, ChunkPage, ChunkQuery, ExportQuery
from server.audit_log.receipts import Emitter
from server.audit_log.search.query import EventFilter, Missing, MissingReason
from server.errors import ResourceExhausted
from server.grpc_api import audit_log
from server.grpc_api.call import Call
from server.storage.query import FieldEquality, Filters
from tests.grpc.failures import Failure, all_of, failing, failure_of
from tests.grpc.rig import Rig, serving
from tests.loops import in_loop, until

Codes = grpc.StatusCode
LOG = "0123456789abcdef0123"
CHUNK = ChunkId("default", LOG, 11, 20)
WRONG_TIME = Timestamp(seconds=2**60)
LATE = Missing(MissingReason.JOURNAL_HOLE, "default", LOG, "lost", 3, 4)
NODE = (Emitter("component", "host-1", "anchor", "5e"), "ipv4:1.2.3.4:5")


def numbers(*values: int) -> Numbers:
    return np.array(values, np.int64)


def block(*sequences: int, done: bool = False, json: bytes = b"{}", size: int | None = None) -> EventBlock:
    count = len(sequences)
    types, uids, sessions, users = (texts_in([text] * count) for text in ("user.login", "ü", "", "alice"))
    sizes = numbers(*[len(json) if size is None else size] * count)
    return EventBlock(
        "default", LOG, numbers(*sequences), numbers(*[-1] * count), types, uids, sessions, users,
        json * count, sizes, [NODE] if count else [], numbers(*[1] * count), numbers(*[7] * count),
        sequences[-1] if sequences else CHUNK.last, done, [LATE] if done else [],
    )  # fmt: skip


REFUSED: list[tuple[str, Any, list[str]]] = [
    (
        "ListEventChunks",
        pb.ListEventChunksRequest(
            storage="s" * 257,
            from_time=WRONG_TIME,
            to_time=WRONG_TIME,
            after=event_watch_pb2.LogPlace(logs={"x": 2**63}),
            page_size=-1,
            page_token="t" * 65_537,
        ),
        ["from_time", "to_time", "storage", "page_token", "page_size", "after.logs", "after.logs"],
    ),
    (
        "ListEventChunks",
        pb.ListEventChunksRequest(after=event_watch_pb2.LogPlace(logs={f"{n:020x}": 1 for n in range(1001)})),
        ["after.logs"],
    ),
    ("ExportEvents", pb.ExportEventsRequest(), ["chunk_id"]),
    (
        "ExportEvents",
        pb.ExportEventsRequest(
            chunk_id="../../etc/passwd",
            after_sequence=2**63,
            filter=query_pb.EventFilter(
                from_time=WRONG_TIME,
                to_time=WRONG_TIME,
                types=["t"] * 101,
                text="t" * 1025,
                fields=[query_pb.FieldEquality()],
                emitter_kinds=[99],  # type: ignore[list-item]  # what a newer client might send
            ),
        ),
        [
            "filter.from_time", "filter.to_time", "filter.types", "filter.text", "filter.fields[0].path",
            "filter.fields[0].value", "filter.emitter_kinds", "chunk_id", "after_sequence",
        ],
    ),
    ("ExportEvents", pb.ExportEventsRequest(chunk_id=str(CHUNK), after_sequence=21), ["after_sequence"]),
]  # fmt: skip


async def call(channel: grpc.aio.Channel, method: str, request: Any) -> Any:
    answer = getattr(AuditLogServiceStub(channel), method)(request)
    return await answer if method == "ListEventChunks" else await all_of(answer)


@pytest.mark.parametrize(("method", "request_", "fields"), REFUSED)
@in_loop
async def test_a_wrong_request_is_refused_with_every_violation_and_asks_nothing(
    method: str, request_: Any, fields: list[str]
) -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        failure = await failing(call(channel, method, request_))
        assert not rig.touched
    assert (failure.code, failure.reason) == (Codes.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert failure.violations == fields


@in_loop
async def test_a_list_is_mapped_field_by_field() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        rig.exports.page = ChunkPage([Chunk(CHUNK, 9, 700, -1, 1_500), Chunk(CHUNK)], "next", {LOG: 20}, [LATE], 3)
        place = event_watch_pb2.LogPlace(logs={LOG: 10})
        stub = AuditLogServiceStub(channel)
        answer = await stub.ListEventChunks(
            pb.ListEventChunksRequest(
                storage="all", from_time=Timestamp(seconds=1), to_time=Timestamp(seconds=2), after=place,
                page_size=10_001, page_token="t",
            )
        )  # fmt: skip
        await stub.ListEventChunks(pb.ListEventChunksRequest())
        (_, asked), (_, plain) = rig.exports.asked
    assert asked == ChunkQuery("all", 1_000, 2_000, {LOG: 10}, 10_000, "t")
    assert plain == ChunkQuery("followed", None, None, {}, 1_000, "")
    bare = pb.EventChunk(id=str(CHUNK), storage="default", log_id=LOG, first_sequence=11, last_sequence=20)
    whole = pb.EventChunk(
        events=9,
        bytes=700,
        first_time=Timestamp(seconds=-1, nanos=999_000_000),
        last_time=Timestamp(seconds=1, nanos=500_000_000),
    )
    whole.MergeFrom(bare)
    assert answer == pb.ListEventChunksResponse(
        chunks=[whole, bare],
        next_page_token="next",
        complete_through=event_watch_pb2.LogPlace(logs={LOG: 20}),
        missing=[missing_part()],
        foreign_objects=3,
    )


def missing_part() -> query_pb.MissingPart:
    return query_pb.MissingPart(
        reason=query_pb.MISSING_REASON_JOURNAL_HOLE,
        storage="default",
        name=LOG,
        first_sequence=3,
        last_sequence=4,
        description="lost",
    )


@in_loop
async def test_a_place_is_there_only_on_the_last_page() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        stub = AuditLogServiceStub(channel)
        rig.exports.page = ChunkPage([], "next")
        assert not (await stub.ListEventChunks(pb.ListEventChunksRequest())).HasField("complete_through")
        rig.exports.page = ChunkPage([], complete_through={})
        assert (await stub.ListEventChunks(pb.ListEventChunksRequest())).HasField("complete_through")


@in_loop
async def test_blocks_are_mapped_column_by_column() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        rig.exports.blocks = [block(11, 12, json=b'{"a":1}'), block(13, json=b"", size=0), block(done=True)]
        messages = await all_of(
            AuditLogServiceStub(channel).ExportEvents(
                pb.ExportEventsRequest(
                    chunk_id=str(CHUNK),
                    after_sequence=10,
                    filter=query_pb.EventFilter(
                        from_time=Timestamp(seconds=1),
                        types=["user.login"],
                        fields=[query_pb.FieldEquality(path=["a"], int64_value=1)],
                        emitters=["host-1"],
                        emitter_kinds=[event_pb2.IDENTITY_KIND_COMPONENT],
                    ),
                )
            )
        )
        [(access, asked)] = rig.exports.asked
    assert access.identity.name == "alice"
    filters = Filters(1_000, types=frozenset({"user.login"}), fields=(FieldEquality(("a",), 1),))
    wanted = EventFilter(filters, frozenset({"host-1"}), frozenset({IdentityKind.COMPONENT}))
    assert asked == ExportQuery(CHUNK, 10, wanted)
    identity = event_pb2.Identity(
        kind=event_pb2.IDENTITY_KIND_COMPONENT, name="host-1", trust_anchor="anchor", certificate_serial="5e"
    )
    emitters = [pb.EmitterAtPeer(emitter=identity, peer="ipv4:1.2.3.4:5")]
    first = pb.EventColumns(
        storage="default", log_id=LOG, sequences=[11, 12], times_ms=[-1, -1], types=["user.login"] * 2, uids=["ü", "ü"],
        session_ids=["", ""], users=["alice", "alice"], json=b'{"a":1}{"a":1}', json_sizes=[7, 7], emitters=emitters,
        emitter_numbers=[1, 1], received_times_ms=[7, 7],
    )  # fmt: skip
    large = pb.EventColumns(
        storage="default", log_id=LOG, sequences=[13], times_ms=[-1], types=["user.login"], uids=["ü"],
        session_ids=[""], users=["alice"], json_sizes=[0], emitters=emitters, emitter_numbers=[1],
        received_times_ms=[7],
    )  # fmt: skip
    none = pb.EventColumns(storage="default", log_id=LOG)
    assert messages == [
        pb.ExportEventsResponse(columns=first, through_sequence=12),
        pb.ExportEventsResponse(columns=large, through_sequence=13),
        pb.ExportEventsResponse(columns=none, through_sequence=20, done=True, missing=[missing_part()]),
    ]


@in_loop
async def test_too_many_exports_are_told_when_to_try_again() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        rig.exports.fails = ResourceExhausted("too many", reason="OVERLOADED", retry_after=1.0)
        failure = await failing(call(channel, "ExportEvents", pb.ExportEventsRequest(chunk_id=str(CHUNK))))
    assert (failure.code, failure.reason, failure.retry_seconds) == (Codes.RESOURCE_EXHAUSTED, "OVERLOADED", 1.0)


async def end_of(stream: Any) -> tuple[Failure, int]:
    """How a stream fails, and how many messages it still gives."""
    given = 0
    try:
        while await stream.read() is not grpc.aio.EOF:
            given += 1
        await stream.code()
    except grpc.aio.AioRpcError as error:
        return failure_of(error), given
    raise AssertionError("the stream ended well")


async def begun(rig: Rig, channel: grpc.aio.Channel) -> Any:
    """A stream that has given a block, and is to give many more."""
    rig.exports.blocks = [block(11, json=b"x" * 1_000_000)] * 1_000
    stream = AuditLogServiceStub(channel).ExportEvents(pb.ExportEventsRequest(chunk_id=str(CHUNK)))
    assert (await stream.read()).columns.sequences == [11]
    return stream


@in_loop
async def test_a_stream_ends_with_the_next_block_when_its_rights_do() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        stream = await begun(rig, channel)
        rig.policy.current = Policy.of(())
        failure, given = await end_of(stream)
    assert (failure.code, failure.reason) == (Codes.PERMISSION_DENIED, "ACCESS_DENIED")
    assert given < 20  # what was on its way; the look of once a second lets through hundreds


@in_loop
async def test_a_stream_that_waits_ends_when_its_rights_do() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        rig.exports.blocks, rig.exports.hangs = [block(11)], True
        stream = AuditLogServiceStub(channel).ExportEvents(pb.ExportEventsRequest(chunk_id=str(CHUNK)))
        await stream.read()
        rig.policy.current = Policy.of(())
        failure, _ = await end_of(stream)
    assert failure.code is Codes.PERMISSION_DENIED


@in_loop
async def test_a_stream_ends_when_the_server_stops_and_says_why() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        stream = await begun(rig, channel)
        stopping = asyncio.create_task(rig.server.stop(60))
        failure, _ = await end_of(stream)
        await stopping
    assert (failure.code, failure.reason) == (Codes.UNAVAILABLE, "STOPPING")


@in_loop
async def test_a_client_that_goes_away_ends_the_export() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        stream = await begun(rig, channel)
        stream.cancel()
        await until(lambda: rig.exports.closed)


@in_loop
async def test_a_client_that_takes_nothing_gives_its_place_to_others_and_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit_log, "EXPORT_PATIENCE_SECONDS", 0.3)
    respond, responded = Call.respond, list[float | None]()

    async def responding(call: Call, message: Any) -> None:
        """The first block, which the client takes, may take as long as it likes."""
        responded.append(call.patience_seconds)
        call.patience_seconds = None if len(responded) == 1 else responded[0]
        await respond(call, message)

    monkeypatch.setattr(Call, "respond", responding)
    async with serving() as rig, rig.user("auditor") as channel:
        stream = await begun(rig, channel)
        await until(lambda: rig.exports.closed)
        failure, given = await end_of(stream)
    assert (failure.code, failure.reason, failure.retry_seconds) == (Codes.RESOURCE_EXHAUSTED, "OVERLOADED", 5.0)
    assert given < 1_000
