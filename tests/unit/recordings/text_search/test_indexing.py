"""The index follows the recordings: none stops another, and what it misses is named."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest
from extaudit.recording.v1 import recorded_event_pb2 as pb

from rbac.identities import SERVICE
from server.errors import DataLoss, FailedPrecondition, Unavailable
from server.recordings.format.writer import RecordingWriter
from server.recordings.recording import Recording
from server.recordings.text_search.indexing import TextIndexing
from server.recordings.text_search.text_index import TextIndex
from server.recordings.text_search.text_query import TextQuery
from tests.loops import in_loop
from tests.polling import until

ASKED = TextQuery("text")


def printed(text: str) -> bytes:
    writer, message = RecordingWriter(), pb.SessionPrint(data=text.encode())
    message.metadata.type = "print"
    message.metadata.time.FromSeconds(1_790_000_000)
    return writer.add(message) + writer.finish()


class Kept:
    """Recordings in memory, of which some can't be read: a fault that disks don't give when asked."""

    def __init__(self) -> None:
        self.data: dict[str, bytes | Exception] = {}
        self.over = set[str]()
        self.unknown = set[str]()

    def completed(self) -> list[Recording]:
        return [Recording(f"session {each}", each, "default", 1, 1, "", "", SERVICE, 0, 0) for each in self.data]

    def count(self) -> int:
        return len(self.data)

    def expired(self, recordings: Sequence[Recording]) -> Mapping[str, bool]:
        known = [each.upload_id for each in recordings if each.upload_id not in self.unknown]
        return {each: each in self.over for each in known}

    async def chunks(self, recording: Recording, offset: int, length: int) -> AsyncIterator[bytes]:
        data = self.data[recording.upload_id]
        if isinstance(data, Exception):
            raise data
        yield data


@contextlib.asynccontextmanager
async def indexing(kept: Kept, path: Path) -> AsyncIterator[tuple[TextIndexing, TextIndex]]:
    index = TextIndex(path / "text.sqlite")
    service = TextIndexing(index, kept.completed, kept.count, kept)
    task = asyncio.create_task(service.run())
    try:
        yield service, index
    finally:
        service.stop()
        await task
        service.close()


async def until_indexed(index: TextIndex, *uploads: str) -> None:
    await asyncio.to_thread(until, lambda: index.indexed() >= set(uploads))


@pytest.mark.parametrize("fault", [Unavailable("not now"), ValueError("a fault of ours")])
@in_loop
async def test_one_that_can_not_be_read_now_stops_no_other_and_is_named(tmp_path: Path, fault: Exception) -> None:
    kept = Kept()
    kept.data = {"bad": fault, "good": printed("text")}
    async with indexing(kept, tmp_path) as (service, index):
        await until_indexed(index, "good")
        assert service.missing(ASKED, names=True) == ("recording of session session bad: it waits to be indexed",)
        assert service.missing(ASKED, names=False) == ("1 recordings wait to be indexed",)


@in_loop
async def test_one_whose_bytes_have_changed_or_expired_is_told_and_not_tried_again(tmp_path: Path) -> None:
    kept = Kept()
    expired = FailedPrecondition("it has expired", reason="RECORDING_EXPIRED")
    kept.data = {"changed": DataLoss("it isn't what was taken"), "expired": expired}
    async with indexing(kept, tmp_path) as (service, index):
        await until_indexed(index, *kept.data)
        changed, gone = service.missing(ASKED, names=True)
        assert "isn't what was taken" in changed
        assert "has expired" in gone
        assert service.missing(ASKED, names=False) == ("2 recordings aren't wholly indexed",)


@in_loop
async def test_those_that_come_later_are_indexed_too_and_nothing_is_missing_then(tmp_path: Path) -> None:
    kept = Kept()
    async with indexing(kept, tmp_path) as (service, index):
        for upload in ("one", "two"):
            kept.data[upload] = printed("text")
            assert service.missing(ASKED, names=True) != ()
            await until_indexed(index, upload)
        assert service.missing(ASKED, names=True) == ()


@in_loop
async def test_an_entry_of_a_recording_that_is_unknown_hides_none_that_waits(tmp_path: Path) -> None:
    index = TextIndex(tmp_path / "text.sqlite")
    index.add("unknown", "s").end(0, "", "")
    kept = Kept()
    kept.data = {"waiting": printed("text")}
    service = TextIndexing(index, kept.completed, kept.count, kept)
    assert service.missing(ASKED, names=False) == ("1 recordings wait to be indexed",)
    service.close()


@in_loop
async def test_what_a_stop_left_half_gone_comes_back_where_it_is_kept_longer(tmp_path: Path) -> None:
    kept = Kept()
    kept.data = {"old": printed("text of old")}
    async with indexing(kept, tmp_path) as (_, index):
        await until_indexed(index, "old")
        index.let_go({"old"}, lambda: False)
    async with indexing(kept, tmp_path) as (service, index):
        await asyncio.to_thread(until, lambda: index.find(ASKED, None, 9, time.monotonic() + 30))
        assert service.missing(ASKED, names=True) == ()


@in_loop
async def test_the_text_of_what_expires_goes_and_comes_back_where_it_is_kept_longer(tmp_path: Path) -> None:
    """Also of a storage that can't be asked for a while: that says nothing of either."""
    kept = Kept()
    kept.data = {"old": printed("text of old"), "new": printed("text of new")}

    def found(index: TextIndex) -> list[str]:
        return sorted(hit.line for hit in index.find(ASKED, None, 9, time.monotonic() + 30))

    both = ["text of new", "text of old"]
    for over, unknown, told, lines in [
        (set[str](), set[str](), 0, both),
        ({"old"}, set(), 1, ["text of new"]),
        (set(), {"old", "new"}, 1, ["text of new"]),
        ({"new"}, {"new"}, 0, both),
    ]:
        kept.over, kept.unknown = over, unknown
        async with indexing(kept, tmp_path) as (service, index):
            await asyncio.to_thread(until, lambda index=index, lines=lines: found(index) == lines)
            expired = ("1 recordings have expired, as their storage's retention states",) if told else ()
            await asyncio.to_thread(
                until, lambda service=service, expired=expired: service.missing(ASKED, names=True) == expired
            )
            assert service.missing(ASKED, names=False) == ()
    (tmp_path / "text.sqlite").unlink()
    kept.over, kept.unknown, kept.data["old"] = {"old"}, set(), ValueError("it isn't read")
    async with indexing(kept, tmp_path) as (service, index):
        await until_indexed(index, "old", "new")
        assert found(index) == ["text of new"]
