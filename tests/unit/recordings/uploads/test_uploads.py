"""Uploads from their first byte to what becomes of them, on real files."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from rbac.identities import Identity, IdentityKind
from server.errors import FailedPrecondition, InvalidRequest
from server.files import DiskFiles
from server.recordings.recording import UploadState
from server.recordings.threads import RecordingThreads
from server.recordings.uploads import pipeline
from server.recordings.uploads.open_uploads import OpenUploads
from server.recordings.uploads.upload_stream import MOST_CHUNK_BYTES
from server.state.database import open_database
from tests.uploads_under_test import ADMIN, NODE, OTHER_SESSION, SESSION, UploadsUnderTest, access

DATA = bytes(range(100))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[UploadsUnderTest]:
    engine = open_database(tmp_path / "state.db")
    yield UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    engine.dispose()


def custody_of(data: bytes) -> str:
    """As anyone can compute it from the file, here with the parts of the tests."""
    sizes, at, digests = (8, 8, 16, 16, 24, 24, 32, 32), 0, b""
    for size in sizes:
        if at < len(data):
            digests += hashlib.sha256(data[at : at + size]).digest()
        at += size
    return hashlib.sha256(digests).hexdigest()


def test_what_has_to_be_read_for_its_digest_is_read_once_and_one_at_a_time(
    service: UploadsUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever completes large recordings again and again takes the threads of all uploads."""
    readers, beside, read, waits = 0, Event(), service.storage.read, [0.2]

    def reading(*asked: Any, **how: Any) -> bytes:
        nonlocal readers
        readers += 1
        if readers > 1:
            beside.set()
        beside.wait(waits.pop() if waits else 0)  # in vain where the other is kept waiting
        try:
            return read(*asked, **how)
        finally:
            readers -= 1

    async def live() -> None:
        sessions = {SESSION: DATA, OTHER_SESSION: DATA[1:]}
        made = [await service.record(data, session=each, with_sha256=False) for each, data in sessions.items()]
        ids = [recording.upload_id for recording, _ in made]
        digests = [hashlib.sha256(data).hexdigest() for data in sessions.values()]
        with ThreadPoolExecutor(2) as threads:
            service.uploads._threads = RecordingThreads(threads, threads)
            monkeypatch.setattr(service.storage, "read", reading)
            await asyncio.gather(
                *(service.complete(each, sha256=digest) for each, digest in zip(ids, digests, strict=True))
            )
            monkeypatch.setattr(service.storage, "read", None)
            await service.complete(ids[0], sha256=digests[0])

    asyncio.run(live())
    assert not beside.is_set()


def test_a_completed_upload_is_the_recording_byte_for_byte(service: UploadsUnderTest) -> None:
    async def live() -> None:
        recording, state = await service.record(DATA)
        assert state is UploadState.COMPLETED
        assert (recording.bytes, recording.parts) == (100, 7)
        assert recording.sha256 == hashlib.sha256(DATA).hexdigest()
        assert recording.custody_digest == custody_of(DATA)
        assert await service.content(recording) == DATA
        assert await service.recordings.find(SESSION) == recording
        assert (service.folder / f"{SESSION}.tar").read_bytes() == DATA

    asyncio.run(live())


def test_a_stream_goes_on_from_the_durable_offset(service: UploadsUnderTest) -> None:
    async def live() -> None:
        upload_id = await service.send(DATA[:37])
        upload = await service.uploads.get(access(), upload_id)
        assert (upload.state, upload.durable_offset, upload.resumed_ms) == (UploadState.OPEN, 37, None)
        await service.send(DATA[20:], upload_id=upload_id, at=20)
        recording, _ = await service.complete(upload_id)
        assert await service.content(recording) == DATA
        assert recording.resumed_ms is not None

    asyncio.run(live())


def test_a_gap_is_refused_with_the_offset_that_is_expected(service: UploadsUnderTest) -> None:
    async def live() -> None:
        stream = await service.uploads.start(access(NODE), SESSION, "")
        await stream.write(0, DATA[:10])
        with pytest.raises(FailedPrecondition) as refused:
            await stream.write(11, DATA[11:])
        assert (refused.value.reason, refused.value.metadata) == ("CHUNK_GAP", {"expected_offset": "10"})
        await stream.close()

    asyncio.run(live())


def test_chunks_of_every_size_are_cut_into_the_same_parts(service: UploadsUnderTest) -> None:
    async def live() -> None:
        digests = set()
        for size in (1, 7, 8, 9, 33, 100):
            stream = await service.uploads.start(access(), SESSION, "", with_sha256=True)
            for at in range(0, len(DATA), size):
                await stream.write(at, DATA[at : at + size])
            await stream.close()
            recording, _ = await service.complete(stream.upload.upload_id)
            digests.add((recording.custody_digest, recording.sha256, recording.parts))
        assert digests == {(custody_of(DATA), hashlib.sha256(DATA).hexdigest(), 7)}

    asyncio.run(live())


def test_an_offset_is_acknowledged_once_it_is_synced(service: UploadsUnderTest) -> None:
    async def live() -> None:
        stream = await service.uploads.start(access(), SESSION, "")
        await stream.write(0, DATA[:10])
        await stream.write(10, DATA[10:20])
        durable = 0
        while durable < 20:
            durable = await stream.wait_durable(durable)
            assert stream.durable_offset >= durable
        await stream.close()
        assert await stream.wait_durable(20) == 20

    asyncio.run(live())


@pytest.mark.parametrize("data", [b"", bytes(MOST_CHUNK_BYTES + 1)], ids=["empty", "too large"])
def test_a_chunk_has_1_byte_to_4_mib(service: UploadsUnderTest, data: bytes) -> None:
    async def live() -> None:
        stream = await service.uploads.start(access(), SESSION, "")
        with pytest.raises(InvalidRequest) as refused:
            await stream.write(0, data)
        assert [violation.field for violation in refused.value.violations] == ["chunk.data"]
        await stream.write(0, b"x")
        await stream.close()

    asyncio.run(live())


def test_what_comes_without_a_rest_is_acknowledged_long_before_it_is_much(
    service: UploadsUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a session that is sent a little at a time, as it goes on, would be durable minutes later."""
    monkeypatch.setattr(pipeline, "LATE_SECONDS", 0.0)

    async def live() -> None:
        stream = await service.uploads.start(access(), SESSION, "")
        sent, acknowledged = 0, list[int]()
        while sent < 1_000 and len(acknowledged) < 3:
            await stream.write(sent, b"x")
            sent += 1
            await asyncio.sleep(0)  # one a turn of the loop, and so no rest
            if stream.durable_offset > sum(acknowledged[-1:]):
                acknowledged.append(stream.durable_offset)
        assert len(acknowledged) == 3
        assert acknowledged[-1] < sent
        await stream.close()
        assert stream.durable_offset == sent

    asyncio.run(live())


def test_a_new_stream_takes_the_upload_from_the_old_one(service: UploadsUnderTest) -> None:
    """So that a client that lost its connection can go on at once, whatever the service knows of the old one."""

    async def live() -> None:
        old = await service.uploads.start(access(), SESSION, "")
        await old.write(0, DATA[:10])
        waiting = asyncio.create_task(old.wait_durable(10))
        new = await service.uploads.start(access(), SESSION, old.upload.upload_id)
        assert new.upload.durable_offset == 10
        for call in (old.write(10, b"x"), waiting):
            with pytest.raises(FailedPrecondition) as refused:
                await call
            assert refused.value.reason == "UPLOAD_TAKEN_UP"
        await old.close()
        await new.write(10, DATA[10:])
        await new.close()
        recording, _ = await service.complete(new.upload.upload_id)
        assert await service.content(recording) == DATA

    asyncio.run(live())


def test_completing_ends_the_stream_and_keeps_what_it_sent(service: UploadsUnderTest) -> None:
    async def live() -> None:
        stream = await service.uploads.start(access(), SESSION, "")
        await stream.write(0, DATA)
        recording, _ = await service.complete(stream.upload.upload_id)
        assert await service.content(recording) == DATA
        with pytest.raises(FailedPrecondition):
            await stream.write(100, b"x")
        await stream.close()
        assert (service.folder / f"{SESSION}.tar").read_bytes() == DATA

    asyncio.run(live())


@pytest.mark.parametrize(
    "claim",
    [{"size": 99}, {"size": 101}, {"sha256": "0" * 64}, {"custody_digest": "0" * 64}],
    ids=["too few", "too many", "another digest", "another custody digest"],
)
def test_what_is_not_as_the_client_says_stays_open(service: UploadsUnderTest, claim: dict[str, Any]) -> None:
    async def live() -> None:
        upload_id = await service.send(DATA[:90])
        await service.send(DATA[90:], upload_id=upload_id, at=90)
        with pytest.raises(FailedPrecondition) as refused:
            await service.complete(upload_id, **claim)
        assert refused.value.reason == "RECORDING_MISMATCH"
        assert (await service.uploads.get(access(), upload_id)).state is UploadState.OPEN
        right = {"size": 100, "sha256": hashlib.sha256(DATA).hexdigest(), "custody_digest": custody_of(DATA)}
        assert (await service.complete(upload_id, **right))[1] is UploadState.COMPLETED
        assert (await service.complete(upload_id, **right))[1] is UploadState.COMPLETED
        with pytest.raises(FailedPrecondition):
            await service.complete(upload_id, **claim)

    asyncio.run(live())


@pytest.mark.parametrize("is_completed", [False, True])
def test_a_digest_that_was_not_announced_is_compared_too(service: UploadsUnderTest, is_completed: bool) -> None:
    """At completion, and at one that is repeated, when nothing is known of the whole any more."""

    async def live() -> None:
        upload_id = await service.send(DATA[:90], with_sha256=False)
        await service.send(DATA[90:], upload_id=upload_id, at=90, with_sha256=False)
        right, wrong = hashlib.sha256(DATA).hexdigest(), "0" * 64
        if is_completed:
            recording, _ = await service.complete(upload_id)
            assert recording.sha256 == "", "of several parts it isn't made unless asked for"
        with pytest.raises(FailedPrecondition, match="SHA-256"):
            await service.complete(upload_id, sha256=wrong)
        recording, state = await service.complete(upload_id, sha256=right)
        assert (state, recording.sha256) == (UploadState.COMPLETED, "" if is_completed else right)

    asyncio.run(live())


def test_the_digest_of_a_recording_of_one_part_is_known_without_being_asked_for(service: UploadsUnderTest) -> None:
    recording, _ = asyncio.run(service.record(DATA[:8], with_sha256=False))
    assert recording.sha256 == hashlib.sha256(DATA[:8]).hexdigest()


def test_a_digest_that_is_none_is_invalid(service: UploadsUnderTest) -> None:
    upload_id = asyncio.run(service.send(DATA))
    with pytest.raises(InvalidRequest) as refused:
        asyncio.run(service.complete(upload_id, sha256="A" * 64, custody_digest="0"))
    assert [each.field for each in refused.value.violations] == ["sha256", "custody_digest"]


def test_an_empty_upload_is_not_completed(service: UploadsUnderTest) -> None:
    async def live() -> None:
        upload_id = await service.send(b"")
        with pytest.raises(FailedPrecondition):
            await service.complete(upload_id)
        await service.send(b"x", upload_id=upload_id)
        assert (await service.complete(upload_id))[0].bytes == 1

    asyncio.run(live())


def test_an_aborted_upload_is_kept_and_goes_on_no_more(service: UploadsUnderTest) -> None:
    async def live() -> None:
        upload_id = await service.send(DATA[:30])
        for _ in range(2):
            assert (await service.uploads.abort(access(), upload_id)).state is UploadState.ABORTED
        for call in (service.uploads.start(access(), SESSION, upload_id), service.complete(upload_id)):
            with pytest.raises(FailedPrecondition) as refused:
                await call
            assert (refused.value.reason, refused.value.metadata) == ("UPLOAD_NOT_OPEN", {"state": "aborted"})
        kept = await service.recordings.find(SESSION, upload_id)
        assert kept is not None
        assert (await service.content(kept), kept.aside) == (DATA[:30], True)
        assert await service.recordings.find(SESSION) is None
        assert [event["event"] for event in service.told()] == ["extaudit.upload.abort"]

    asyncio.run(live())


def test_an_empty_upload_is_aborted(service: UploadsUnderTest) -> None:
    async def live() -> None:
        upload_id = await service.send(b"")
        assert (await service.uploads.abort(access(), upload_id)).state is UploadState.ABORTED
        kept = await service.recordings.find(SESSION, upload_id)
        assert kept is not None
        assert (kept.bytes, await service.content(kept)) == (0, b"")

    asyncio.run(live())


def test_a_completed_upload_is_not_aborted(service: UploadsUnderTest) -> None:
    recording, _ = asyncio.run(service.record(DATA))
    with pytest.raises(FailedPrecondition) as refused:
        asyncio.run(service.uploads.abort(access(), recording.upload_id))
    assert refused.value.metadata == {"state": "completed"}


PROXY = Identity(IdentityKind.COMPONENT, "proxy-1", frozenset({"Proxy"}), "a" * 64, "4f")


@pytest.mark.parametrize(
    ("servers", "who", "other"),
    [
        ((), NODE, False),
        (("node-1",), NODE, False),
        (("node-2", "node-1"), NODE, False),
        (("node-2",), NODE, True),
        (("node-2",), PROXY, False),
        (("node-2",), ADMIN, True),
    ],
    ids=["unknown", "own", "one of several", "another", "a proxy speaks for others", "a user"],
)
def test_a_recording_by_another_server_than_the_session_names_is_marked(
    service: UploadsUnderTest, servers: tuple[str, ...], who: Identity, other: bool
) -> None:
    service.servers[SESSION] = servers
    recording, state = asyncio.run(service.record(DATA, who=who))
    assert (state, recording.other_server) == (UploadState.COMPLETED, other)
    assert [event["other_server"] for event in service.told()] == [other]


def test_the_event_of_a_completed_upload_tells_its_custody(service: UploadsUnderTest) -> None:
    async def live() -> None:
        upload_id = await service.send(DATA[:40])
        await service.send(DATA[40:], upload_id=upload_id, at=40)
        recording, _ = await service.complete(upload_id)
        [event] = service.told()
        assert (
            event.items()
            >= {
                "event": "session.upload",
                "code": "T2005I",
                "ei": 2**31 - 1,
                "sid": SESSION,
                "upload_id": upload_id,
                "storage": "default",
                "url": f"extaudit://default/{SESSION}",
                "bytes": 100,
                "parts": 7,
                "custody_digest": custody_of(DATA),
                "sha256": hashlib.sha256(DATA).hexdigest(),
                "begun_ms": recording.begun_ms,
                "resumed_ms": recording.resumed_ms,
                "completed_ms": recording.completed_ms,
            }.items()
        )
        assert event["uploader"] == {
            "kind": "component",
            "name": "node-1",
            "trust_anchor": "a" * 64,
            "certificate_serial": "1f",
            "roles": ["Node"],
            "peer": "ipv4:127.0.0.1:1",
        }

    asyncio.run(live())


def test_an_upload_nobody_goes_on_with_is_abandoned_and_stays_open(service: UploadsUnderTest) -> None:
    async def live() -> None:
        upload_id = await service.send(DATA)
        assert not (await service.uploads.get(access(), upload_id)).abandoned
        service.now_ms += 2_000_000
        upload = await service.uploads.get(access(), upload_id)
        assert (upload.abandoned, upload.state) == (True, UploadState.OPEN)
        counted = OpenUploads(service.store, service.uploads.view, 1_000_000, lambda: service.now_ms)
        counted.look()
        assert (counted.open, counted.abandoned) == (1, 1)
        stream = await service.uploads.start(access(), SESSION, upload_id)
        service.now_ms += 2_000_000
        assert not (await service.uploads.get(access(), upload_id)).abandoned, "a stream has it"
        counted.look()
        assert (counted.open, counted.abandoned) == (1, 0)
        await stream.close()

    asyncio.run(live())
