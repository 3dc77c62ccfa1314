"""What uploads may take."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Engine

from server.errors import ResourceExhausted
from server.files import DiskFiles
from server.recordings.uploads import pipeline
from server.state.uploads import OpenLimits
from tests.e2e.test_denied_calls import CountingFiles
from tests.uploads_under_test import OTHER_NODE, OTHER_SESSION, SESSION, UploadsUnderTest, access

DATA = bytes(range(100))


def test_a_recording_has_at_most_so_many_bytes(engine: Engine, tmp_path: Path) -> None:
    service = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings", max_bytes=100)

    async def live() -> None:
        stream = await service.uploads.start(access(), SESSION, "")
        await stream.write(0, DATA[:99])
        with pytest.raises(ResourceExhausted) as refused:
            await stream.write(99, b"xy")
        assert (refused.value.reason, refused.value.metadata) == ("RECORDING_TOO_LARGE", {"limit_bytes": "100"})
        await stream.write(99, DATA[99:])
        await stream.close()
        assert (await service.complete(stream.upload.upload_id))[0].bytes == 100

    asyncio.run(live())


def test_only_so_many_uploads_are_open_at_once(engine: Engine, tmp_path: Path) -> None:
    service = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings", open_limits=OpenLimits(2, 3))

    async def live() -> None:
        first = await service.send(b"a")
        await service.send(b"a")
        with pytest.raises(ResourceExhausted) as of_owner:
            await service.send(b"a")
        await service.send(b"a", who=OTHER_NODE)
        with pytest.raises(ResourceExhausted) as in_all:
            await service.send(b"a", who=OTHER_NODE)
        assert of_owner.value.reason == in_all.value.reason == "TOO_MANY_UPLOADS"
        assert len(list((service.folder / "_uploads").iterdir())) == 3
        await service.complete(first)
        await service.send(b"a", session=OTHER_SESSION)

    asyncio.run(live())


def test_a_refused_beginning_touches_no_file(engine: Engine, tmp_path: Path) -> None:
    service = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings", open_limits=OpenLimits(1, 1))
    asyncio.run(service.send(b"a"))
    files = CountingFiles()
    service.storage._files = files
    with pytest.raises(ResourceExhausted):
        asyncio.run(service.send(b"a"))
    assert files.operations == []


def test_of_two_that_are_begun_at_once_one_too_many_leaves_nothing(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both saw room for one more."""
    service = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings", open_limits=OpenLimits(1, 1))
    first = asyncio.run(service.send(b"a"))
    monkeypatch.setattr(service.store, "check_room", lambda *_: None)
    with pytest.raises(ResourceExhausted):
        asyncio.run(service.send(b"a"))
    assert [path.name for path in (service.folder / "_uploads").iterdir()] == [first[:32]]


def test_below_the_disk_floor_chunks_are_refused_and_what_came_stays(engine: Engine, tmp_path: Path) -> None:
    def admit(size: int) -> None:
        if size > 50:
            raise ResourceExhausted("full", reason="DISK_FLOOR", retry_after=5.0)

    service = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings", admit=admit)

    async def live() -> None:
        stream = await service.uploads.start(access(), SESSION, "")
        await stream.write(0, DATA[:40])
        with pytest.raises(ResourceExhausted) as refused:
            await stream.write(40, DATA[40:])
        assert refused.value.reason == "DISK_FLOOR"
        assert await stream.wait_durable(39) == 40
        await stream.write(40, DATA[40:70])
        await stream.close()

    asyncio.run(live())


def test_chunks_of_a_byte_wait_for_no_more_memory_than_others(engine: Engine, tmp_path: Path) -> None:
    """Each keeps its message, some 370 bytes: counted as the one that it brings, 8 MiB of them would be 3 GiB."""
    service = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")

    async def live() -> None:
        await service.uploads.start(access(), SESSION, "")
        [upload] = service.uploads._live.values()
        most, count = pipeline.WINDOW_BYTES // 370, 0
        while upload.has_room and count <= most:
            upload.put(count, b"x")
            count += 1
        assert count <= most
        await upload.drain()
        assert upload.durable == count
        assert service.uploads._means.backlog._bytes == 0

    asyncio.run(live())
