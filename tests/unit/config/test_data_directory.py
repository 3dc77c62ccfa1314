"""The data directory: its mode, its places, and that only one process serves from it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from server.data_directory import DataDirectory, DataDirectoryProblem

HOLD = """
import sys
from pathlib import Path
from server.data_directory import DataDirectory
lock = DataDirectory(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with DataDirectory(tmp_path / "a" / "data").acquire():
            assert mode(tmp_path / "a" / "data") == 0o700
            assert mode(tmp_path / "a" / "data" / "lock") == 0o600
    finally:
        os.umask(old)


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    """Whether a looser mode is acceptable is for the check of modes to say, not to be changed in silence."""
    tmp_path.chmod(0o750)
    with DataDirectory(tmp_path).acquire():
        assert mode(tmp_path) == 0o750


def test_naming_places_touches_nothing(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")
    places = {
        directory.journal, directory.spool, directory.storage, directory.identity, directory.state,
        directory.roles, directory.ready_file, directory.lock_file,
    }  # fmt: skip
    assert len(places) == 8
    assert all(place.parent == tmp_path / "data" for place in places)
    assert not (tmp_path / "data").exists()


def test_a_second_lock_is_refused_and_names_the_process(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    with directory.acquire(), pytest.raises(DataDirectoryProblem) as refused:
        directory.acquire()
    assert str(refused.value) == f"another extaudit serve uses this data directory (process {os.getpid()})"
    directory.acquire().release()


def test_the_lock_of_another_process_ends_with_it_however_it_ends(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(DataDirectoryProblem, match=rf"\(process {other.pid}\)$"):
            directory.acquire()
        other.kill()
        other.wait(timeout=240)
    directory.acquire().release()


@pytest.mark.parametrize("content", [b"", b"\x1b[31mx\n", b"9" * 100])
def test_a_lock_file_with_other_content_is_not_shown(tmp_path: Path, content: bytes) -> None:
    directory = DataDirectory(tmp_path)
    with directory.acquire():
        directory.lock_file.write_bytes(content)
        with pytest.raises(DataDirectoryProblem) as refused:
            directory.acquire()
    assert "x" not in str(refused.value).replace("extaudit", "")
    assert len(str(refused.value)) < 100


def test_a_refused_process_leaves_the_holder_named(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    with directory.acquire():
        for _ in range(2):
            with pytest.raises(DataDirectoryProblem):
                directory.acquire()
        assert directory.lock_file.read_text() == f"{os.getpid()}\n"


def test_the_lock_survives_no_program_that_is_started(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    lock = directory.acquire()
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; print('on', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=False,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "on\n"
        lock.release()
        directory.acquire().release()
        child.kill()


def test_a_link_in_place_of_the_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("precious")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataDirectoryProblem, match=r"^the data directory can't be used \(.+\)$"):
        DataDirectory(tmp_path / "data").acquire()
    assert (tmp_path / "elsewhere").read_text() == "precious"


def test_a_place_that_cannot_be_made_is_one_clear_error_without_a_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirectoryProblem) as refused:
        DataDirectory(tmp_path / "file" / "data").acquire()
    assert str(refused.value) == "the data directory can't be used (File exists)"


def test_free_bytes_are_those_of_its_disk(tmp_path: Path) -> None:
    free = DataDirectory(tmp_path).free_bytes()
    disk = os.statvfs(tmp_path)
    assert 0 < free <= disk.f_blocks * disk.f_frsize
