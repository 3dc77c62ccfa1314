"""Uploads from their first byte to what becomes of them, on real files."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.errors import FailedPrecondition
from server.files import DiskFiles
from server.recordings.recording import UploadState
from server.state.database import open_database
from tests.uploads_under_test import NODE, SESSION, UploadsUnderTest, access

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
