"""Reading recordings: no byte of what isn't as it was taken is given, and files are for the service alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from server.errors import DataLoss
from server.files import DiskFiles
from server.recordings import reading
from server.recordings.part_buffers import PartBuffers
from server.state.database import open_database
from tests.uploads_under_test import NODE, OTHER_SESSION, SESSION, UploadsUnderTest

DATA = bytes(range(100))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(tmp_path / "state.db")
    yield engine
    engine.dispose()


@pytest.mark.parametrize("at", [0, 8, 99])
def test_of_a_damaged_part_no_byte_is_given(engine: Engine, tmp_path: Path, at: int) -> None:
    service = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")

    async def live() -> None:
        recording, _ = await service.record(DATA)
        damaged = DATA[:at] + bytes([DATA[at] ^ 1]) + DATA[at + 1 :]
        (service.folder / f"{SESSION}.tar").write_bytes(damaged)
        given = b""
        with pytest.raises(DataLoss):
            async for piece in service.recordings.chunks(recording, 0, 100):
                given += piece
        assert given == DATA[: max(start for start in (0, 8, 16, 32, 48, 72, 96) if start <= at)]

    asyncio.run(live())


@pytest.mark.parametrize("change", [b"", b"{}", b"null", b"[]"], ids=["empty", "nothing", "null", "list"])
def test_with_a_damaged_custody_record_no_byte_is_given(engine: Engine, tmp_path: Path, change: bytes) -> None:
    service = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    recording, _ = asyncio.run(service.record(DATA))
    (service.folder / f"{SESSION}.custody.json").write_bytes(change)
    with pytest.raises(DataLoss):
        asyncio.run(service.content(recording))


def test_a_custody_record_of_other_parts_is_not_believed(engine: Engine, tmp_path: Path) -> None:
    """Whoever can change both files still can't change what the state knows."""
    service = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    recording, _ = asyncio.run(service.record(DATA))
    asyncio.run(service.record(DATA[1:], session=OTHER_SESSION))
    for suffix in ("tar", "custody.json"):
        forged = (service.folder / f"{OTHER_SESSION}.{suffix}").read_bytes()
        (service.folder / f"{SESSION}.{suffix}").write_bytes(forged)
    with pytest.raises(DataLoss):
        asyncio.run(service.content(recording))


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 1), (7, 2), (8, 8), (15, 20), (99, 1), (99, 50), (100, 5), (0, 100)]
)
def test_a_range_is_read(engine: Engine, tmp_path: Path, offset: int, length: int) -> None:
    service = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    recording, _ = asyncio.run(service.record(DATA, who=NODE))
    assert asyncio.run(service.content(recording, offset, length)) == DATA[offset : offset + length]


def test_readers_that_stand_still_hold_up_no_other_and_go_on_where_they_were(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PIECE_BYTES", 3)
    service = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    buffers = PartBuffers(24, turn_seconds=0.0)
    service.recordings._buffers = dict.fromkeys(service.recordings._buffers, buffers)

    async def live() -> None:
        recording, _ = await service.record(DATA)
        still = [service.recordings.chunks(recording, 20, 80) for _ in range(5)]
        given = [await anext(each) for each in still]
        assert buffers._bytes <= 24
        async with asyncio.timeout(60):
            assert await service.content(recording) == DATA
            for first, each in zip(given, still, strict=True):
                assert first + b"".join([piece async for piece in each]) == DATA[20:]
        assert buffers._bytes == 0

    asyncio.run(live())


def test_files_are_for_the_service_alone(engine: Engine, tmp_path: Path) -> None:
    service = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    asyncio.run(service.record(DATA))
    asyncio.run(service.record(DATA[:50]))
    asyncio.run(service.send(DATA[:20]))
    modes = {(path.is_dir(), path.stat().st_mode & 0o777) for path in service.folder.rglob("*")}
    assert modes == {(True, 0o700), (False, 0o600)}
