"""What damage to an upload's progress costs: nothing of what was acknowledged is cut off its data."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.recordings.uploads.parts import Digests, PartSchedule
from server.storage.embedded import part_writer
from server.storage.embedded.part_writer import DATA, PROGRESS, open_writer
from server.storage.ports import StorageError
from tests.crash.forgetful_files import ForgetfulFiles

FOLDER = Path("upload")
BYTES = bytes(range(100))
PART = 20


def written(*ends: int) -> ForgetfulFiles:
    """A new upload that was synced at these offsets."""
    files = ForgetfulFiles()
    files.make_folder(FOLDER)
    files.open_append(FOLDER / PROGRESS).close()
    writer, digests = open_writer(files, FOLDER), Digests(PartSchedule(PART))
    for end in ends:
        chunk = BYTES[digests.offset : end]
        writer.append(chunk)
        digests.update(chunk)
        writer.sync(digests.untold(), digests.tail())
    return files


def offset_with(files: ForgetfulFiles, progress: bytes) -> int | None:
    """How much of the upload is left with this progress; None where it is told to be damaged, and nothing is cut."""
    files, data = files.copy(), files.read(FOLDER / DATA)
    files.put(FOLDER / PROGRESS, progress)
    try:
        return open_writer(files, FOLDER).offset
    except StorageError:
        assert files.read(FOLDER / DATA) == data
        return None


def offsets_with_one_bit_flipped(files: ForgetfulFiles, end: int) -> set[int | None]:
    """In each of the first `end` bytes of the progress in its turn."""
    content = files.read(FOLDER / PROGRESS)
    flips = [(at, bit) for at in range(end) for bit in (at % 3, 7)]
    return {offset_with(files, content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]) for at, bit in flips}


@pytest.mark.parametrize("end", [93, 100])
@pytest.mark.parametrize("while_open", [False, True])
def test_a_flipped_bit_cuts_nothing_off_what_was_written_anew(
    monkeypatch: pytest.MonkeyPatch, end: int, while_open: bool
) -> None:
    if while_open:
        monkeypatch.setattr(part_writer, "_MOST_LINES", 2)
    files = written(20, 50, end)
    if not while_open:
        open_writer(files, FOLDER)
    size = len(files.read(FOLDER / PROGRESS))
    assert offsets_with_one_bit_flipped(files, size) == {end, None}
    assert offset_with(files, bytes(size)) is None


def test_a_flipped_bit_cuts_nothing_off_what_was_appended_before_the_last_sync() -> None:
    """Also where syncs end with a part, so that no line tells of an open one."""
    ends = 20, 40, 60, 73, 80
    before = len(written(*ends).read(FOLDER / PROGRESS))
    assert offsets_with_one_bit_flipped(written(*ends, 90), before) == {90, None}


def test_a_last_sync_that_was_torn_anywhere_is_taken_back() -> None:
    """Any of its blocks may be on the disk, and not the others."""
    before = len(written(33).read(FOLDER / PROGRESS))
    files = written(33, 90)  # three parts became full
    whole = files.read(FOLDER / PROGRESS)
    torn = [whole[:at] for at in range(before, len(whole))]
    torn += [whole[:before] + bytes(at - before) + whole[at:] for at in range(before + 1, len(whole) + 1)]
    torn += [whole[:before] + b"\n\0\n" * 60]
    assert {offset_with(files, content) for content in torn} == {33, 40, 60, 80}
