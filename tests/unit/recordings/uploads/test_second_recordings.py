"""A session has one recording: the same again is a repeat, and another is kept beside it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from server.files import DiskFiles
from server.recordings.recording import UploadState
from server.state.database import open_database
from tests.uploads_under_test import OTHER_NODE, SESSION, UploadsUnderTest

DATA = bytes(range(100))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[UploadsUnderTest]:
    engine = open_database(tmp_path / "state.db")
    yield UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    engine.dispose()


def test_a_second_different_recording_is_kept_aside_and_the_first_stays(service: UploadsUnderTest) -> None:
    async def live() -> None:
        first, _ = await service.record(DATA)
        second, state = await service.record(DATA[:50], who=OTHER_NODE)
        assert (state, second.aside) == (UploadState.KEPT_ASIDE, True)
        assert await service.content(second) == DATA[:50]
        assert await service.recordings.find(SESSION) == first
        assert await service.recordings.find(SESSION, second.upload_id) == second
        assert await service.content(first) == DATA
        events = service.told()
        assert [(event["event"], event["aside"]) for event in events] == [
            ("session.upload", False),
            ("session.upload", True),
        ]

    asyncio.run(live())


def test_other_bytes_of_the_same_size_are_no_repeat(service: UploadsUnderTest) -> None:
    async def live() -> None:
        await service.record(DATA)
        other, state = await service.record(DATA[:-1] + b"!")
        assert state is UploadState.KEPT_ASIDE
        assert await service.content(other) == DATA[:-1] + b"!"

    asyncio.run(live())


def test_the_same_bytes_again_are_answered_with_the_first_recording(service: UploadsUnderTest) -> None:
    async def live() -> None:
        first, _ = await service.record(DATA)
        upload_id = await service.send(DATA, who=OTHER_NODE)
        for _ in range(2):
            assert await service.complete(upload_id, who=OTHER_NODE) == (first, UploadState.REPEATED)
        assert [event["event"] for event in service.told()] == ["session.upload", "extaudit.upload.repeat"]
        assert [path.name for path in service.folder.rglob("*.tar")] == [f"{SESSION}.tar"]
        assert list((service.folder / "_uploads").iterdir()) == []

    asyncio.run(live())


def test_a_repeat_of_a_recording_that_is_damaged_meanwhile_is_kept(service: UploadsUnderTest) -> None:
    async def live() -> None:
        await service.record(DATA)
        (service.folder / f"{SESSION}.tar").write_bytes(DATA[:-1] + b"!")
        second, state = await service.record(DATA)
        assert state is UploadState.KEPT_ASIDE
        assert await service.content(second) == DATA

    asyncio.run(live())


def test_a_file_that_others_put_there_is_never_overwritten(service: UploadsUnderTest) -> None:
    async def live() -> None:
        foreign = service.folder / f"{SESSION}.tar"
        foreign.write_bytes(b"foreign")
        recording, state = await service.record(DATA)
        assert (state, foreign.read_bytes()) == (UploadState.KEPT_ASIDE, b"foreign")
        assert await service.content(recording) == DATA

    asyncio.run(live())


def test_of_two_completions_at_once_one_is_the_recording(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "state.db")
    threads = ThreadPoolExecutor(4)
    service = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings", threads=threads)

    async def live() -> None:
        for number in range(20):
            session = f"{SESSION[:-2]}{number:02}"
            ids = [await service.send(DATA[:size], session=session) for size in (40, 50, 60)]
            ended = await asyncio.gather(*(service.complete(upload_id) for upload_id in ids))
            states = Counter(state for _, state in ended)
            assert states == {UploadState.COMPLETED: 1, UploadState.KEPT_ASIDE: 2}
            [winner] = [recording for recording, state in ended if state is UploadState.COMPLETED]
            assert await service.recordings.find(session) == winner
            assert sorted([len(await service.content(recording)) for recording, _ in ended]) == [40, 50, 60]

    asyncio.run(live())
    threads.shutdown()
    engine.dispose()
