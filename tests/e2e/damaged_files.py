"""The files of a healthy data directory, and what becomes of them by damage, a copy or somebody's hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import orjson

from tests.e2e.doctored import SESSION, flip


def in_place_of(path: Path, make: Callable[[Path], object]) -> None:
    """Something else has a file's name."""
    path.unlink()
    make(path)


def append(path: Path, more: bytes) -> None:
    path.write_bytes(path.read_bytes() + more)


def copy_beside(path: Path, name: str) -> None:
    path.with_name(name).write_bytes(path.read_bytes())


def segments(data_dir: Path) -> list[Path]:
    return sorted((data_dir / "journal").glob("*/*.seg"))


def records(data_dir: Path) -> list[Path]:
    """Of batches, oldest first."""
    found = (data_dir / "storage" / "events" / "_batches").glob("*/*.json")
    return sorted(found, key=lambda path: int(path.name.partition("-")[0]))


def recording(data_dir: Path) -> Path:
    return data_dir / "storage" / "recordings" / f"{SESSION}.tar"


def unreadable_recording(data_dir: Path) -> None:
    """A folder in its place, which even root can't read."""
    in_place_of(recording(data_dir), os.mkdir)


def custody(data_dir: Path) -> Path:
    return recording(data_dir).with_name(f"{SESSION}.custody.json")


def shorten_last_part(data_dir: Path) -> None:
    """In the custody record: the digests, and the one over them, stay."""
    record = orjson.loads(custody(data_dir).read_bytes())
    record["parts"][-1]["bytes"] -= 1
    record["bytes"] -= 1
    custody(data_dir).write_bytes(orjson.dumps(record))


def damage_journal(data_dir: Path) -> None:
    """Flip a byte of an event that the journal still has, with commits behind it."""
    content = segments(data_dir)[-1].read_bytes()
    flip(segments(data_dir)[-1], content.index(b"kept in the journal"))


def known_uids(data_dir: Path) -> Path:
    """The only file, to which a server appends."""
    (file,) = (data_dir / "known_uids").glob("*.uids")
    return file


def copied_journal(data_dir: Path) -> None:
    """The journal was copied and put back: its files have other numbers."""
    (data_dir / "journal").rename(data_dir / "journal-before")
    shutil.copytree(data_dir / "journal-before", data_dir / "journal")
    shutil.rmtree(data_dir / "journal-before")


def mark(data_dir: Path, name: str) -> Path:
    """A file in the journal's folder."""
    return data_dir / "journal" / name
