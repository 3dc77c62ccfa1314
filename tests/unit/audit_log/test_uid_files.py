"""The files of known uids: what was appended is there after a restart, and what is torn costs nothing else."""

from __future__ import annotations

import pytest

from server.audit_log.known_uids import KnownUid, UidFiles, UidLimits
from tests.crash.forgetful_files import ForgetfulFiles
from tests.crash.log_under_test import PLACES

FOLDER = PLACES.known_uids
LIMITS = UidLimits(minimum=20, bound=20, generation=10)


def entries(first: int, count: int = 4, length: int = 8) -> list[KnownUid]:
    return [
        KnownUid(f"u{number}".ljust(length, "x"), number.to_bytes(16, "big"), number, f"{number:020x}", number * 1000)
        for number in range(first, first + count)
    ]


def opened(files: ForgetfulFiles) -> tuple[UidFiles, list[KnownUid]]:
    uid_files = UidFiles(files, FOLDER, LIMITS)
    return uid_files, list(uid_files.load())


def test_what_was_appended_is_there_after_power_was_lost() -> None:
    files = ForgetfulFiles()
    uid_files, found = opened(files)
    assert found == []
    uid_files.append(entries(0))
    uid_files.append([])
    uid_files.append(entries(4))
    again, found = opened(files.copy(power_loss=True))
    assert found == entries(0, 8)
    again.append(entries(8))
    assert opened(files)[1] == entries(0, 8)


@pytest.mark.parametrize("length", [4, 128])
def test_at_least_the_bound_is_kept_and_not_much_more(length: int) -> None:
    """Whatever the length of uids: the longest must not push the others out."""
    files = ForgetfulFiles()
    uid_files, _ = opened(files)
    for first in range(0, 200, 4):
        uid_files.append(entries(first, length=length))
    found = opened(files)[1]
    assert found == entries(200 - len(found), len(found), length)
    assert LIMITS.bound <= len(found) <= LIMITS.bound + 2 * LIMITS.generation


def test_a_torn_chunk_costs_nothing_else() -> None:
    files = ForgetfulFiles()
    uid_files, _ = opened(files)
    uid_files.append(entries(0))
    path = FOLDER / "00000001.uids"
    whole = files.read(path)
    uid_files.append(entries(4))
    both = files.read(path)
    for size in range(len(whole), len(both)):
        torn = files.copy()
        torn.put(path, both[:size])
        again, found = opened(torn)
        assert found == entries(0)
        again.append(entries(8))
        assert opened(torn.copy(power_loss=True))[1] == entries(0) + entries(8)


def test_a_damaged_chunk_costs_its_own_entries_only() -> None:
    files = ForgetfulFiles()
    uid_files, _ = opened(files)
    path = FOLDER / "00000001.uids"
    uid_files.append(entries(0))
    first_size = len(files.read(path))
    uid_files.append(entries(4))
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
        uid_files.append(entries(0))
    fail(files, operation)
    for _ in range(3):
        with pytest.raises(OSError):
            uid_files.append(entries(4))
    files.before = lambda number, name: None
    uid_files.append(entries(4))
    found = opened(files.copy(power_loss=True))[1]
    assert set(found) >= set(entries(4))
    assert operation not in ("append", "sync") or set(found) >= set(entries(0))


def test_a_file_whose_sync_failed_is_written_no_more() -> None:
    """What is durable of it isn't known: a chunk behind one that is lost would be lost with it."""
    files = ForgetfulFiles()
    uid_files, _ = opened(files)
    uid_files.append(entries(0))
    before = files.read(FOLDER / "00000001.uids")
    fail(files, "sync")
    with pytest.raises(OSError):
        uid_files.append(entries(4))
    files.before = lambda number, name: None
    uid_files.append(entries(4))
    files.put(FOLDER / "00000001.uids", before + bytes(100))
    assert opened(files)[1] == entries(0, 8)
    assert files.list(FOLDER) == ["00000001.uids", "00000002.uids"]


def test_a_failed_open_leaves_no_file_open() -> None:
    files = ForgetfulFiles()
    uid_files, _ = opened(files)
    fail(files, "sync folder")
    for _ in range(3):
        with pytest.raises(OSError):
            uid_files.append(entries(0))
    assert files.open_files == 0


def test_a_full_disk_is_not_filled_up_with_what_is_tried_again() -> None:
    files = ForgetfulFiles()
    uid_files, _ = opened(files)
    uid_files.append(entries(0))
    before = files.read(FOLDER / "00000001.uids")
    fail(files, "append")
    for _ in range(5):
        with pytest.raises(OSError):
            uid_files.append(entries(4))
    assert files.read(FOLDER / "00000001.uids") == before
