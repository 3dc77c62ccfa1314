"""The files of a spool: what is in each, as found at its opening."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extaudit_client.spool.files import Files
from extaudit_client.spool.frames import Entry, frames, is_unfinished

_NAME: Final = re.compile(r"([0-9]{16})\.events")
_DAMAGED: Final = ".damaged"


@dataclass(slots=True)
class Segment:
    """A file with events of numbers `first` to `last`, none when `last` is less."""

    path: Path
    first: int
    last: int
    size: int
    damaged: bool = False


def new_segment(folder: Path, first: int) -> Segment:
    """The segment that begins with an event's number."""
    return Segment(folder / f"{first:016}.events", first, first - 1, 0)


def found_segments(files: Files, folder: Path, *, durably: bool) -> tuple[list[Segment], int]:
    """The segments of a folder that hold events, and how many bytes of a torn end were cut off the last one.

    An end that no stop in the middle of a write explains is kept for people, in a file of its own.
    With `durably` what was found is durable: a process that was killed may have left it to the operating system.
    """
    names = [name for name in files.list(folder) if _NAME.fullmatch(name)]
    found: list[Segment] = []
    cut = 0
    for name in names:
        segment, good = _scan(files, folder / name)
        if name == names[-1] and good < segment.size:
            cut = segment.size - good
            _keep_damage(files, segment, good)
        segment.damaged |= name != names[-1] and good < segment.size
        if found and found[-1].damaged:
            found[-1].last = segment.first - 1  # what can't be read goes up to there: it is to be told as lost
        if durably or cut:
            _settle_file(files, segment, cut)
        if segment.size:
            found.append(segment)
        else:
            files.remove(segment.path)
    return found, cut


def let_go(files: Files, segment: Segment) -> None:
    """Remove a segment of which everything is settled; one with damage is kept for people, under another name."""
    if segment.damaged:
        files.rename(segment.path, segment.path.with_name(segment.path.name + _DAMAGED))
    else:
        files.remove(segment.path)


def _scan(files: Files, path: Path) -> tuple[Segment, int]:
    """What a file holds, and where its last frame ends."""
    match = _NAME.fullmatch(path.name)
    first = int(match[1]) if match else 0
    size = files.size(path) or 0
    segment, good, damage = Segment(path, first, first - 1, size), 0, size
    for item in frames(files.read_range(path, 0, size), 0, 0):
        if isinstance(item, Entry):
            segment.last, good = max(segment.last, item.number), item.end
        else:
            damage = min(damage, item.start)
    segment.damaged = damage < good
    return segment, good


def _keep_damage(files: Files, segment: Segment, good: int) -> None:
    data = files.read_range(segment.path, good, segment.size - good)
    if is_unfinished(data):
        return
    file = files.open_append(segment.path.with_name(f"{segment.path.name}.end{_DAMAGED}"))
    try:
        file.truncate(0)
        file.append(data)
        file.sync()
    finally:
        file.close()


def _settle_file(files: Files, segment: Segment, cut: int) -> None:
    file = files.open_append(segment.path)
    try:
        if cut:
            segment.size -= cut
            file.truncate(segment.size)
        file.sync()
    finally:
        file.close()
