"""UploadRecording: what is refused, what is told, and that nothing which ends a stream loses what had arrived."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from extaudit.v1 import access_service_pb2 as access_pb
from extaudit.v1 import recording_service_pb2 as pb
from extaudit.v1.access_service_pb2_grpc import AccessServiceStub
from extaudit.v1.lock_pb2 import LockTarget
from extaudit.v1.recording_service_pb2_grpc import RecordingServiceStub

from server.errors import Unavailable
from server.grpc_api import live_calls
from server.grpc_api.recording_requests import MAX_CHUNK_BYTES, MAX_OFFSET
from tests.grpc.failures import Failure, failing, failure_of
from tests.grpc.rig import Rig, serving
from tests.loops import in_loop, until

Codes = grpc.StatusCode
SESSION = "0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11"
Request = pb.UploadRecordingRequest


def start(session_id: str = SESSION, upload_id: str = "") -> Request:
    return Request(start=pb.UploadStart(session_id=session_id, upload_id=upload_id))


def chunk(offset: int, data: bytes) -> Request:
    return Request(chunk=pb.RecordingChunk(offset=offset, data=data))


async def upload(channel: grpc.aio.Channel, *requests: Request) -> list[pb.UploadRecordingResponse]:
    call = RecordingServiceStub(channel).UploadRecording(iter(requests))
    return [response async for response in call]


async def end_of(call: Any) -> tuple[list[int], Failure]:
    """The offsets that are still told, and how the stream fails."""
    told = []
    try:
        while (response := await call.read()) is not grpc.aio.EOF:
            told.append(response.durable_offset)
        await call
    except grpc.aio.AioRpcError as error:
        return told, failure_of(error)
    raise AssertionError("the stream ended well")


@in_loop
async def test_chunks_are_handed_on_and_what_is_durable_is_told() -> None:
    async with serving() as rig, rig.node() as channel:
        responses = await upload(channel, start(), chunk(0, b"abc"), chunk(3, b"def"))
        assert [(each.upload_id, each.storage) for each in responses] == [("u-1", "default")] * len(responses)
        assert responses[0].durable_offset == 0
        assert responses[-1].durable_offset == 6
        assert rig.uploads.data == {"u-1": bytearray(b"abcdef")}
        assert rig.transfers.bytes_received == 6
        assert rig.uploads.open == set()


@in_loop
async def test_the_first_answer_comes_before_any_chunk_and_tells_where_to_go_on() -> None:
    async with serving() as rig, rig.node() as channel:
        rig.uploads.data["u-7"] = bytearray(b"12345")
        call = RecordingServiceStub(channel).UploadRecording()
        await call.write(start(upload_id="u-7"))
        response = await call.read()
        assert (response.upload_id, response.durable_offset) == ("u-7", 5)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


@in_loop
async def test_acknowledgements_flow_while_chunks_are_sent() -> None:
    async with serving() as rig, rig.node() as channel:
        call = RecordingServiceStub(channel).UploadRecording()
        await call.write(start())
        assert (await call.read()).durable_offset == 0
        for number in range(3):
            await call.write(chunk(number, b"x"))
            assert (await call.read()).durable_offset == number + 1
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert rig.uploads.streams[0].closes == 1


@in_loop
async def test_what_becomes_durable_only_at_the_end_is_told_at_the_end() -> None:
    async with serving(holds=True) as rig, rig.node() as channel:
        responses = await upload(channel, start(), chunk(0, b"abc"))
        assert [each.durable_offset for each in responses] == [0, 3]
        assert rig.uploads.streams[0].closes == 1


UUIDS = [
    "", "x", SESSION.upper(), f"{{{SESSION}}}", f"urn:uuid:{SESSION}", SESSION.replace("-", ""), SESSION + "\n",
    " " + SESSION, SESSION[:-1], SESSION + "0", "../" + SESSION, SESSION.replace("0", "\uff10"),
    SESSION.replace("-", "_"),
]  # fmt: skip


@pytest.mark.parametrize("session_id", UUIDS)
def test_a_session_id_has_one_spelling(session_id: str) -> None:
    @in_loop
    async def check() -> None:
        async with serving() as rig, rig.node() as channel:
            failure = await failing(upload(channel, start(session_id)))
            assert (failure.code, failure.violations) == (Codes.INVALID_ARGUMENT, ["start.session_id"])
            assert not rig.touched

    check()


REFUSED: list[tuple[str, list[Request], list[str]]] = [
    ("nothing", [], ["request"]),
    ("an empty message", [Request()], ["request"]),
    ("a chunk first", [chunk(0, b"a")], ["request"]),
    ("two wrong fields", [start("x", "u" * 513)], ["start.session_id", "start.upload_id"]),
    ("a second start", [start(), start()], ["request"]),
    ("an empty message later", [start(), Request()], ["request"]),
    ("an empty chunk", [start(), chunk(0, b"")], ["chunk.data"]),
    ("a chunk too large", [start(), chunk(0, bytes(MAX_CHUNK_BYTES + 1))], ["chunk.data"]),
    ("a message too large", [start(), chunk(0, bytes(MAX_CHUNK_BYTES + 100))], ["request"]),
    ("an offset too large", [start(), chunk(MAX_OFFSET + 1, b"a")], ["chunk.offset"]),
    ("the largest offset", [start(), chunk(2**64 - 1, b"")], ["chunk.offset", "chunk.data"]),
]


@pytest.mark.parametrize(("what", "requests", "violations"), REFUSED, ids=[row[0] for row in REFUSED])
def test_a_wrong_message_is_refused_by_its_fields(what: str, requests: list[Request], violations: list[str]) -> None:
    @in_loop
    async def check() -> None:
        async with serving() as rig, rig.node() as channel:
            failure = await failing(upload(channel, *requests))
            assert (failure.code, failure.violations) == (Codes.INVALID_ARGUMENT, violations)
            assert not any(rig.uploads.data.values())
            assert rig.uploads.open == set()

    check()


@in_loop
async def test_the_largest_chunk_is_taken() -> None:
    async with serving() as rig, rig.node() as channel:
        await upload(channel, start(), chunk(0, bytes(MAX_CHUNK_BYTES)))
        assert len(rig.uploads.data["u-1"]) == MAX_CHUNK_BYTES


@in_loop
async def test_before_a_refusal_what_arrived_is_durable_and_told() -> None:
    async with serving(holds=True) as rig, rig.node() as channel:
        call = RecordingServiceStub(channel).UploadRecording(iter([start(), chunk(0, b"abc"), chunk(9, b"x")]))
        told, failure = await end_of(call)
        assert told == [0, 3]
        assert (failure.code, failure.reason) == (Codes.FAILED_PRECONDITION, "CHUNK_GAP")
        assert failure.metadata == {"expected_offset": "3"}
        assert rig.uploads.streams[0].closes == 1


@in_loop
async def test_a_failing_storage_ends_the_stream() -> None:
    async with serving(holds=True) as rig, rig.node() as channel:
        rig.uploads.fails = Unavailable("not now")
        call = RecordingServiceStub(channel).UploadRecording()
        await call.write(start())
        _, failure = await end_of(call)
        assert (failure.code, failure.reason) == (Codes.UNAVAILABLE, "STORAGE_UNAVAILABLE")
        assert rig.uploads.open == set()


async def lock(rig: Rig) -> None:
    async with rig.user("editor", name="root") as admin:
        request = access_pb.CreateLockRequest(target=LockTarget(component="host-1"), reason="stolen")
        await AccessServiceStub(admin).CreateLock(request)


async def stop(rig: Rig) -> None:
    rig.stopping = asyncio.create_task(rig.server.stop(60))  # type: ignore[attr-defined]  # kept while it runs


ENDS: dict[str, tuple[Callable[[Rig], Any], Codes, str]] = {
    "locked": (lock, Codes.PERMISSION_DENIED, "LOCKED"),
    "stopping": (stop, Codes.UNAVAILABLE, "STOPPING"),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_stream_that_must_end_first_makes_durable_and_tells_what_arrived(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_calls, "GRACE_SECONDS", 60)  # in which it is done, however busy the machine is

    @in_loop
    async def check() -> None:
        end, code, reason = ENDS[how]
        async with serving(holds=True) as rig, rig.node() as channel:
            call = RecordingServiceStub(channel).UploadRecording()
            await call.write(start())
            await call.write(chunk(0, b"abc"))
            await until(lambda: rig.uploads.data.get("u-1") == bytearray(b"abc"))
            await end(rig)
            told, failure = await end_of(call)
            assert told == [0, 3]
            assert (failure.code, failure.reason) == (code, reason)
            assert rig.uploads.open == set()

    check()


@in_loop
async def test_a_broken_connection_leaves_the_upload_free_with_what_arrived() -> None:
    async with serving(holds=True) as rig:
        async with rig.node() as channel:
            call = RecordingServiceStub(channel).UploadRecording()
            await call.write(start())
            await call.write(chunk(0, b"abc"))
            await until(lambda: rig.uploads.data.get("u-1") == bytearray(b"abc"))
        await until(lambda: not rig.uploads.open)
        assert rig.uploads.streams[0].durable_offset == 3
        assert rig.uploads.streams[0].closes == 1


@in_loop
async def test_who_goes_away_while_the_upload_is_begun_leaves_it_free() -> None:
    async with serving() as rig:
        rig.uploads.slow = asyncio.Event()
        async with rig.node() as channel:
            call = RecordingServiceStub(channel).UploadRecording()
            await call.write(start())
            await until(lambda: rig.uploads.asked)
        await until(lambda: any(task.cancelling() for task in asyncio.all_tasks()))
        rig.uploads.slow.set()
        await until(lambda: rig.uploads.streams and not rig.uploads.open)


@in_loop
async def test_a_client_that_reads_nothing_holds_only_itself_up() -> None:
    async with serving() as rig, rig.node() as silent, rig.node() as other:
        stalled = RecordingServiceStub(silent).UploadRecording()
        await stalled.write(start())
        responses = await upload(other, start(), chunk(0, b"abc"))
        assert responses[-1].durable_offset == 3
        stalled.cancel()
        await until(lambda: not rig.uploads.open)


@pytest.mark.parametrize("role", ["auditor", "access", "editor"])
def test_who_may_not_create_sessions_uploads_nothing(role: str) -> None:
    @in_loop
    async def check() -> None:
        async with serving() as rig, rig.user(role) as channel:
            # Nothing is written: the library's client hides the status if a write comes after it.
            failure = await failing(RecordingServiceStub(channel).UploadRecording().read())
            assert (failure.code, failure.reason) == (Codes.PERMISSION_DENIED, "ACCESS_DENIED")
            assert not rig.touched

    check()
