"""The files of known uids: what was appended is there after a restart, and what is torn costs nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from server.audit_log.columns.layout import Table
from server.audit_log.known_uids import UidLimits
from server.audit_log.uid_files import UidFiles, Unread, unread_bytes
from tests.crash.forgetful_files import ForgetfulFiles
from tests.crash.log_under_test import PLACES

FOLDER = PLACES.known_uids
LIMITS = UidLimits(minimum=20, bound=20, generation=10)
CHUNK = 4
Entry = tuple[str, list[int]]


def entries(first: int, chunks: int = 1) -> list[Entry]:
    """What is appended by as many chunks: the log's name, and numbers of 64 bits with either sign."""
    return [
        (f"{number // CHUNK:020x}", [-number << 40, number, -number, number, number * 1000])
        for number in range(first, first + chunks * CHUNK)
    ]


def append(uid_files: UidFiles, added: list[Entry]) -> None:
    uid_files.append(added[0][0], np.array([numbers for _, numbers in added], np.int64))


def of_table(log_id: str, table: Table) -> list[Entry]:
    return [(log_id, numbers) for numbers in table.tolist()]


def opened(files: ForgetfulFiles) -> tuple[UidFiles, list[Entry]]:
    uid_files = UidFiles(files, FOLDER, LIMITS)
    return uid_files, [entry for chunk in uid_files.load() for entry in of_table(*chunk)]


def test_what_was_appended_is_there_after_power_was_lost() -> None:
    files = ForgetfulFiles()
    uid_files, found = opened(files)
    assert found == []
    append(uid_files, entries(0))
    uid_files.append("f" * 20, np.zeros((0, 5), np.int64))
    append(uid_files, entries(4))
    again, found = opened(files.copy(power_loss=True))
    assert found == entries(0, chunks=2)
    append(again, entries(8))
    assert opened(files)[1] == entries(0, chunks=2)


def test_at_least_the_bound_is_kept_and_not_much_more() -> None:
    files = ForgetfulFiles()
    uid_files, _ = opened(files)
    for first in range(0, 200, CHUNK):
        append(uid_files, entries(first))
    found = opened(files)[1]
    assert found == entries(200 - len(found), len(found) // CHUNK)
    assert LIMITS.bound <= len(found) <= LIMITS.bound + 2 * LIMITS.generation


def test_what_is_delivered_late_takes_nobodys_place_and_is_loaded_in_its_turn() -> None:
    """What waited for days makes no newer entries go, and comes before them."""
    files = ForgetfulFiles()
    uid_files, _ = opened(files)
    for first in range(1000, 1000 + LIMITS.bound, CHUNK):
        append(uid_files, entries(first))
    for first in range(0, 10 * LIMITS.bound, CHUNK):
        append(uid_files, entries(first))
    found = opened(files)[1]
    assert found[-LIMITS.bound :] == entries(1000, LIMITS.bound // CHUNK)
    assert found == sorted(found, key=lambda entry: entry[1][4])


def test_syncs_that_fail_cost_no_entries() -> None:
    files = ForgetfulFiles()
    uid_files, _ = opened(files)
    for first in range(0, LIMITS.bound, CHUNK):
        append(uid_files, entries(first))
    fail(files, "sync")
    for _ in range(LIMITS.bound):
        with pytest.raises(OSError):
            append(uid_files, entries(LIMITS.bound))
    files.before = lambda number, name: None
    append(uid_files, entries(LIMITS.bound))
    found = opened(files)[1]
    assert all(entry in found for entry in entries(CHUNK, LIMITS.bound // CHUNK)), "the newest that the table holds"


def test_a_file_that_cannot_be_removed_fails_no_append() -> None:
    """What is tried again would be appended twice, and count twice."""
    files = ForgetfulFiles()
    uid_files, _ = opened(files)
    fail(files, "remove")
    for first in range(0, 4 * LIMITS.bound, CHUNK):
        append(uid_files, entries(first))
    assert len(files.list(FOLDER)) == 4 * LIMITS.bound // LIMITS.generation - 1
    files.before = lambda number, name: None
    assert opened(files)[1][-LIMITS.bound :] == entries(3 * LIMITS.bound, LIMITS.bound // CHUNK)


def test_a_torn_chunk_costs_nothing_else() -> None:
    files = ForgetfulFiles()
    uid_files, _ = opened(files)
    append(uid_files, entries(0))
    path = FOLDER / "00000001.uids"
    whole = files.read(path)
    append(uid_files, entries(4))
    both = files.read(path)
    for size in range(len(whole), len(both)):
        torn = files.copy()
        torn.put(path, both[:size])
        again, found = opened(torn)
        assert found == entries(0)
        append(again, entries(8))
        assert opened(torn.copy(power_loss=True))[1] == entries(0) + entries(8)


def test_a_damaged_chunk_costs_its_own_entries_only() -> None:
    files = ForgetfulFiles()
    uid_files, _ = opened(files)
    path = FOLDER / "00000001.uids"
    append(uid_files, entries(0))
    first_size = len(files.read(path))
    append(uid_files, entries(4))
    content = files.read(path)
    for position in range(first_size):
        damaged = bytearray(content)
        damaged[position] ^= 1
        files.put(path, bytes(damaged))
        assert opened(files)[1] == entries(4)


def fail(files: ForgetfulFiles, operation: str) -> None:
    def before(number: int, name: str) -> None:
        if name == operation:
            raise OSError(5, "I/O error")

    files.before = before


@pytest.mark.parametrize("operation", ["append", "sync", "open", "sync folder"])
def test_what_failed_can_be_tried_again_and_is_there_after_power_was_lost(operation: str) -> None:
    files = ForgetfulFiles()
    uid_files, _ = opened(files)
    if operation in ("append", "sync"):
        append(uid_files, entries(0))
    fail(files, operation)
    for _ in range(3):
        with pytest.raises(OSError):
            append(uid_files, entries(4))
    files.before = lambda number, name: None
    append(uid_files, entries(4))
    found = opened(files.copy(power_loss=True))[1]
    wanted = entries(0, chunks=2) if operation in ("append", "sync") else entries(4)
    assert all(entry in found for entry in wanted)


def test_a_file_whose_sync_failed_is_written_no_more() -> None:
    """What is durable of it isn't known: a chunk behind one that is lost would be lost with it."""
    files = ForgetfulFiles()
    uid_files, _ = opened(files)
    append(uid_files, entries(0))
    before = files.read(FOLDER / "00000001.uids")
    fail(files, "sync")
    with pytest.raises(OSError):
        append(uid_files, entries(4))
    files.before = lambda number, name: None
    append(uid_files, entries(4))
    files.put(FOLDER / "00000001.uids", before + bytes(100))
    assert opened(files)[1] == entries(0, chunks=2)
    assert files.list(FOLDER) == ["00000001.uids", "00000002.uids"]


def test_a_failed_open_leaves_no_file_open() -> None:
    files = ForgetfulFiles()
    uid_files, _ = opened(files)
    fail(files, "sync folder")
    for _ in range(3):
        with pytest.raises(OSError):
            append(uid_files, entries(0))
    assert files.open_files == 0


def test_a_full_disk_is_not_filled_up_with_what_is_tried_again() -> None:
    files = ForgetfulFiles()
    uid_files, _ = opened(files)
    append(uid_files, entries(0))
    before = files.read(FOLDER / "00000001.uids")
    fail(files, "append")
    for _ in range(5):
        with pytest.raises(OSError):
            append(uid_files, entries(4))
    assert files.read(FOLDER / "00000001.uids") == before


def test_what_a_start_can_not_read_is_logged_and_what_is_torn_stays_at_the_end_of_its_file(
    caplog: pytest.LogCaptureFixture,
) -> None:
    files = ForgetfulFiles()
    uid_files, _ = opened(files)
    for first in 0, CHUNK:
        append(uid_files, entries(first))
    uid_files.close()
    path = FOLDER / "00000001.uids"
    content = bytearray(files.read(path))
    half = len(content) // 2
    content[half - 1] ^= 1
    replace(files, path, bytes(content) + content[:20])
    with caplog.at_level("INFO"):
        again, found = opened(files)
    assert found == entries(CHUNK)
    assert [(each.levelname, each.fields) for each in caplog.records] == [  # type: ignore[attr-defined]
        ("ERROR", {"file": path.name, "bytes": half, "of": len(content) + 20}),
        ("INFO", {"file": path.name, "bytes": 20}),
    ]
    append(again, entries(2 * CHUNK))
    assert files.list(FOLDER) == [path.name, "00000002.uids"]
    assert unread_bytes(files.read(path)) == Unread(half, 20)
    assert opened(files)[1] == entries(CHUNK, chunks=2)


def replace(files: ForgetfulFiles, path: Path, content: bytes) -> None:
    """A file has another content."""
    files.remove(path)
    file = files.open_append(path)
    file.append(content)
    file.sync()
    file.close()
