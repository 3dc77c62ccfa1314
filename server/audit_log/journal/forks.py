"""Forks: a log ends where a copy of its data directory begins, so that no sequence of it is ever given twice.

A fork is asked for by a file in the journal's folder, or noticed at a start. The next start carries it out; that file
says what was decided, so a stop between any two steps is taken up by the start after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from server.audit_log.journal.frames import FrameType, encode, encode_commit
from server.audit_log.journal.journal import encode_header
from server.audit_log.journal.segments import LOG_ID, SUFFIX, read_segment, segment_name, segment_names
from server.files import Files, write_durably

PLACE = "place.json"
"""A file that holds its own number on its file system, and its folder's: in a copy they differ. One alone may be
the same by chance, as a file system gives the numbers of removed files again. It says as well whether the newest log
always has a segment: an earlier version left it without any once all was delivered."""
FORK = "fork.json"
"""A fork that is asked for, or under way."""
_STEP_MS = 1


@dataclass(frozen=True, slots=True)
class LastAcknowledged:
    """The last sequence of a log that somebody was given."""

    log_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Fork:
    """A fork: why, and what is decided of it. The decided part is '' until a start carries it out."""

    reason: str
    operator: str = ""
    """The user of this machine who asked for it; '' where the service noticed by itself."""
    acknowledged: LastAcknowledged | None = None
    new_log_id: str = ""
    place: int = 0
    """The number of the folder it was decided in: a copy of it decides anew."""
    event: str = ""
    """JSON of its audit event: repeated as it is, its uid keeps it one event."""

    def encode(self) -> bytes:
        """As the file holds it."""
        return orjson.dumps(self)

    @staticmethod
    def decode(data: bytes) -> Fork:
        """From the file. ValueError if it isn't one."""
        try:
            members = orjson.loads(data)
            given = members.pop("acknowledged")
            acknowledged = LastAcknowledged(**given) if given is not None else None
            return Fork(**members, acknowledged=acknowledged)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError("not a fork") from error


def ask(files: Files, folder: Path, fork: Fork) -> None:
    """Have the next start fork; durable when it returns. It takes the place of one that was asked for before."""
    write_durably(files, folder / FORK, fork.encode())


def asked(files: Files, folder: Path) -> Fork | None:
    """The fork that is asked for or under way.

    Raises:
        OSError: the file can't be read.
    """
    if FORK not in files.list(folder):
        return None
    try:
        return Fork.decode(files.read(folder / FORK))
    except ValueError:
        # Whatever it was, somebody wanted no sequence given twice.
        return Fork("a fork was asked for; the file that says why can't be read")


def noticed(files: Files, folder: Path, confirmed: Mapping[str, int]) -> Fork | None:
    """The fork that must be, as this folder isn't the one that gave the last sequences of its log.

    Args:
        files: where the journal is.
        folder: its folder.
        confirmed: for each log the last sequence whose batch is confirmed in a storage.
    """
    if PLACE in files.list(folder) and not _is_in_its_place(files, folder / PLACE):
        return Fork("the data directory was copied, moved to another file system or restored")
    log_id = current_log(files, folder)
    last = last_sequence(files, folder, log_id)
    if log_id and last < confirmed.get(log_id, 0):
        return Fork("the storage has batches of this log from beyond the journal's end: the journal was restored")
    if confirmed and not log_names(files, folder):
        return Fork("batches are stored, and the journal that their events came from is gone")
    if has_lost_segments(files, folder):
        return Fork("the journal's newest log has lost its segments: what was acknowledged and not stored is gone")
    return None


def log_names(files: Files, folder: Path) -> list[str]:
    """The logs that are there, oldest first."""
    return [name for name in files.list(folder) if LOG_ID.fullmatch(name)]


def has_lost_segments(files: Files, folder: Path) -> bool:
    """Whether the newest log has no segment and always had one: it was made with one, and no other is removed before
    the next is there. One of an earlier version may have been delivered wholly."""
    return _is_newest_empty(files, folder) and keeps_segments(files, folder)


def keeps_segments(files: Files, folder: Path) -> bool:
    """Whether it is noted that the newest log always has a segment."""
    try:
        return PLACE in files.list(folder) and _members(files.read(folder / PLACE)).get("segments") is True
    except ValueError:
        return False


def current_log(files: Files, folder: Path) -> str:
    """The log that takes events; '' if there is none."""
    return next((name for name in reversed(log_names(files, folder)) if segment_names(files, folder / name)), "")


def last_sequence(files: Files, folder: Path, log_id: str) -> int:
    """The last sequence that a log's segments tell of; 0 if there are none."""
    names = segment_names(files, folder / log_id) if log_id else []
    if not names:
        return 0
    return read_segment(files.read(folder / log_id / names[-1]), names[-1], log_id).next_sequence - 1


def segments_of(files: Files, folder: Path) -> set[tuple[str, int]]:
    """Log and first sequence of every segment in the journal."""
    return {
        (log_id, int(name.removesuffix(SUFFIX)))
        for log_id in files.list(folder)
        if LOG_ID.fullmatch(log_id)
        for name in segment_names(files, folder / log_id)
    }


def mark_place(files: Files, folder: Path) -> None:
    """Note durably that the journal is where it is, and whether its newest log, or the first, always has a segment."""
    part = folder / f"{PLACE}.part"
    if part.name in files.list(folder):
        files.remove(part)
    file = files.open_append(part)
    try:
        place = {"number": files.number(part), "folder": files.number(folder)}
        file.append(orjson.dumps(place | {"segments": not _is_newest_empty(files, folder)}))
        file.sync()
    finally:
        file.close()
    files.rename(part, folder / PLACE)
    files.sync_folder(folder)


def numbers_in(place: bytes) -> tuple[int, int | None]:
    """The numbers of file and folder that PLACE's content tells; an earlier version wrote none of the folder.

    Raises:
        ValueError: it isn't as `mark_place` wrote it.
    """
    members = _members(place)
    try:
        return int(members["number"]), members.get("folder")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("not a place") from error


def begin_log(files: Files, folder: Path, log_id: str, storage: str) -> None:
    """Make a log whose first segment is there and takes events: it is the one that the next recovery goes on with."""
    files.make_folder(folder / log_id)
    stop = encode(FrameType.STOP, b"") + encode_commit(0, 0, 1)
    write_durably(files, folder / log_id / segment_name(1), encode_header(log_id, 1, storage) + stop)


def following(log_id: str, *others: str) -> str:
    """This name of a log, or one whose time is moved on to sort behind all the others: a clock may have been set back,
    and the last log is the one that takes events."""
    latest = max(others, default="")
    return log_id if log_id > latest else f"{int(latest[:12], 16) + _STEP_MS:012x}{log_id[12:]}"


def done(files: Files, folder: Path) -> None:
    """The fork is carried out."""
    files.remove(folder / FORK)
    files.sync_folder(folder)


def _is_in_its_place(files: Files, path: Path) -> bool:
    try:
        number, folder = numbers_in(files.read(path))
    except ValueError:
        return False
    return number == files.number(path) and folder in (None, files.number(path.parent))


def _is_newest_empty(files: Files, folder: Path) -> bool:
    return any(not segment_names(files, folder / name) for name in log_names(files, folder)[-1:])


def _members(place: bytes) -> dict[str, Any]:
    members = orjson.loads(place)
    if not isinstance(members, dict):
        raise ValueError("not a place")
    return members
