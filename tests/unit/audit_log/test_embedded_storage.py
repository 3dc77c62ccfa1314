"""The embedded storage as the EventStorage port has it."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest

from server.files import DiskFiles
from server.storage.embedded.storage import EmbeddedStorage
from server.storage.ports import NameTaken, StorageError

NAME = "2026-11-23/log-1-2.parquet"


class TwoDisks(DiskFiles):
    """Links between the spool and the storage fail as they do between file systems. A stand-in for a second disk."""

    def link(self, source: Path, target: Path) -> None:
        if "spool" in source.parts:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        super().link(source, target)


class BrokenDisk(DiskFiles):
    def link(self, source: Path, target: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")


class NotListed(DiskFiles):
    def list(self, folder: Path) -> list[str]:
        raise AssertionError("there may be hundreds of thousands of names in it")


def spooled(tmp_path: Path, data: bytes) -> tuple[str, str, int]:
    path = tmp_path / "spool" / "object"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return str(path), hashlib.sha256(data).hexdigest(), len(data)


@pytest.mark.parametrize("files", [DiskFiles(), TwoDisks()], ids=["one disk", "two disks"])
def test_an_object_is_stored_once_and_never_overwritten(files: DiskFiles, tmp_path: Path) -> None:
    storage = EmbeddedStorage(files, tmp_path / "storage")
    storage.put(NAME, *spooled(tmp_path, b"first"))
    storage.put(NAME, *spooled(tmp_path, b"first"))
    (tmp_path / "spool" / "object").unlink()
    with pytest.raises(NameTaken):
        storage.put(NAME, *spooled(tmp_path, b"other"))
    assert [(item.name, item.size) for item in storage.list_date("2026-11-23")] == [(NAME, 5)]
    assert Path(storage.local_path(NAME)).read_bytes() == b"first"
    assert sorted(path.name for path in (tmp_path / "storage" / "2026-11-23").iterdir()) == ["log-1-2.parquet"]


def test_a_fault_of_the_disk_is_told_in_our_own_words(tmp_path: Path) -> None:
    storage = EmbeddedStorage(BrokenDisk(), tmp_path / "storage")
    with pytest.raises(StorageError) as fault:
        storage.put(NAME, *spooled(tmp_path, b"first"))
    assert str(tmp_path) not in str(fault.value)


def test_a_record_is_never_overwritten(tmp_path: Path) -> None:
    storage = EmbeddedStorage(DiskFiles(), tmp_path / "storage")
    storage.put_record("log/1-2.json", b"one")
    storage.put_record("log/1-2.json", b"one")
    with pytest.raises(NameTaken):
        storage.put_record("log/1-2.json", b"two")
    assert (storage.read_record("log/1-2.json"), list(storage.list_records())) == (b"one", ["log/1-2.json"])


def test_a_record_is_found_and_put_by_its_name_alone(tmp_path: Path) -> None:
    storage = EmbeddedStorage(NotListed(), tmp_path / "storage")
    assert storage.read_record("log/1-2.json") is None
    for _ in "12":
        storage.put_record("log/1-2.json", b"{}")
    assert storage.read_record("log/1-2.json") == b"{}"
