"""What isn't a file and has a file's name is refused at once by whatever opens files."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from server.__main__ import _reason
from server.data_directory import DataDirectory, DataDirectoryProblem
from server.files import DiskFiles
from server.regular_files import check_regular, open_regular, read_regular
from server.state.database import StateFault, open_database
from server.state.examining import examining


def _fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _socket(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))  # an address must be short
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _times_open(path: Path) -> int:
    """How many descriptors of this process are of it; other tests' threads open and close others meanwhile."""
    there, found = path.stat(), 0
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found += os.path.samestat(os.fstat(int(descriptor)), there)
    return found


OTHERS: dict[str, Callable[[Path], Path]] = {
    "a FIFO": _fifo,
    "a socket": _socket,
    "a folder": _folder,
    "a device": lambda _: Path("/dev/null"),
}
FILES = DiskFiles()
USES: dict[str, Callable[[Path], object]] = {
    "read": FILES.read,
    "read_range": lambda path: FILES.read_range(path, 0, 1),
    "open_read": FILES.open_read,
    "open_append": FILES.open_append,
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_RDWR])
def test_what_is_no_file_is_refused_by_what_it_is_and_stays_open_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, flags: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = OTHERS[kind](tmp_path / "f")
    before = _times_open(path)
    # The system's own words where it doesn't open a folder for writing.
    refusal = re.escape(f"is {kind}, not a file") + ("|Is a directory" if kind == "a folder" and flags else "")
    with pytest.raises(OSError, match=refusal):
        open_regular(path, flags)
    with pytest.raises(OSError, match=f"is {kind}, not a file"):
        check_regular(path)
    assert _times_open(path) == before


@pytest.mark.parametrize("use", USES)
def test_nobody_waits_for_the_other_end_of_a_fifo(tmp_path: Path, use: str) -> None:
    with pytest.raises(OSError, match="is a FIFO, not a file"):
        USES[use](_fifo(tmp_path / "f"))


def test_a_file_is_opened_as_asked_for_and_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with open(path, "wb", opener=open_regular) as file:
        file.write(b"kept")
    assert (read_regular(path), path.stat().st_mode & 0o777) == (b"kept", 0o600)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "g")


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_a_state_database_of_which_one_file_is_a_fifo_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "state.db"
    if suffix:
        open_database(path).dispose()
    _fifo(tmp_path / f"state.db{suffix}")
    with pytest.raises(OSError, match="is a FIFO, not a file"):
        open_database(path)
    with examining(path) as state, pytest.raises(StateFault) as refused:
        state.schema()
    assert isinstance(refused.value.orig, sqlite3.OperationalError)


def test_a_lock_that_is_a_fifo_is_no_lock(tmp_path: Path) -> None:
    _fifo(tmp_path / "lock")
    with pytest.raises(DataDirectoryProblem, match="is a FIFO, not a file"):
        DataDirectory(tmp_path).acquire()


def test_a_start_that_a_fault_of_a_file_ends_says_which_one_of_the_data_directory_it_is(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="is a FIFO") as refused:
        read_regular(_fifo(tmp_path / "lock"))
    assert _reason(refused.value, tmp_path) == "lock: is a FIFO, not a file"
    assert _reason(refused.value, tmp_path / "elsewhere") == "is a FIFO, not a file"
