"""Reading one log back: which events are there, which sequences are lost, and where its torn tail begins.

Nothing is changed here: recovery.py acts on what is found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from server.audit_log.cuts import Cut
from server.audit_log.journal.frames import (
    BadBytes,
    EventFrame,
    Frame,
    FrameType,
    decode_commit,
    decode_event,
    read_frames,
)
from server.data_directory import LATER_VERSION, DataDirectoryProblem
from server.files import Files
from server.state.ranges import rest

FORMAT = 1
"""Of segments; of a later one nothing is known, so nothing is read."""
SUFFIX = ".seg"
PART = ".part"
"""Ends the name of a log that is being made, and of a file that is being written."""
LOG_ID = re.compile(r"[0-9a-f]{20}")
"""The name of a log, which is that of its folder."""
_NAME = re.compile(r"[0-9]{20}\.seg", re.ASCII)


def segment_name(first_sequence: int) -> str:
    """File name of the segment that begins with this sequence; names sort as sequences do."""
    return f"{first_sequence:020d}{SUFFIX}"


def segment_names(files: Files, folder: Path) -> list[str]:
    """The segments of the log in this folder, in order."""
    return [name for name in files.list(folder) if _NAME.fullmatch(name)]


def make_log(files: Files, folder: Path, log_id: str) -> None:
    """Make a log in the journal's folder, durably and at once with its first segment, which is empty."""
    part = folder / f"{log_id}{PART}"
    files.make_folder(part)
    files.open_append(part / segment_name(1)).close()
    files.sync_folder(part)
    files.rename(part, folder / log_id)
    files.sync_folder(folder)


@dataclass(slots=True)
class SegmentContent:
    """What one segment holds."""

    name: str
    first_sequence: int
    size: int
    storage: str = ""
    """'' where its first frame can't be read."""
    events: list[EventFrame] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    last_committed: int = 0
    """The last sequence that a commit frame names."""
    whole: int = 0
    """Bytes up to the last commit, and the whole frames that directly follow it."""
    recommit: list[EventFrame] = field(default_factory=list)
    """The events in those frames: they lack a commit, and are kept because nothing says that they weren't
    acknowledged."""
    recommit_frames: int = 0
    """The number of those frames."""
    damaged: bool = False
    """True when bytes are bad and a valid commit follows them."""
    stopped: bool = False
    """True when the last thing in it is an orderly stop."""

    @property
    def next_sequence(self) -> int:
        """The sequence after the last one that is known to have been given."""
        last_event = self.events[-1].sequence if self.events else 0
        return max(self.first_sequence, self.last_committed + 1, last_event + 1)


@dataclass(slots=True)
class LogContent:
    """What one log holds, its segments in order."""

    log_id: str
    segments: list[SegmentContent]
    holes: list[tuple[int, int]]
    """First and last of each lost range of sequences."""

    @property
    def damaged(self) -> bool:
        """True when something that was committed can't be read."""
        return bool(self.holes) or any(segment.damaged for segment in self.segments)


def read_log(files: Files, folder: Path, log_id: str, settled: Sequence[tuple[int, int]] = ()) -> LogContent:
    """Read all segments of one log.

    Args:
        files: where they are.
        folder: the log's folder.
        log_id: the log's name.
        settled: the ranges of its sequences that are confirmed or known to be lost, in any order. Batches of one
            storage are confirmed in the order of sequences, those of several in any.
    """
    names = segment_names(files, folder)
    segments = [read_segment(files.read(folder / name), name, log_id) for name in names]
    are_cut = {cut.first for segment in segments for cut in segment.cuts if cut.log_id == log_id}
    for segment in segments[:-1]:
        # Only the last segment can end in a torn write or lack a cut: the next one is begun after a sync of its cut.
        is_cut = (
            segment.first_sequence in are_cut or rest(segment.first_sequence, segment.first_sequence, settled) == []
        )
        if segment.whole < segment.size or segment.recommit_frames or not is_cut:
            segment.damaged = True
    for segment in segments:
        segment.events += segment.recommit
    return LogContent(log_id, segments, _holes(segments, settled))


def read_segment(content: bytes, name: str, log_id: str) -> SegmentContent:
    """Read one segment; its name is its first sequence."""
    segment = SegmentContent(name, int(name.removesuffix(SUFFIX)), len(content))
    group: list[Frame] = []
    bad = False
    for item in read_frames(content):
        if isinstance(item, BadBytes):
            bad = True
        elif item.type == FrameType.COMMIT:
            _, last, frames = decode_commit(item.payload)
            segment.damaged |= bad or frames != len(group)
            segment.last_committed = max(segment.last_committed, last)
            segment.whole = item.end
            for frame in group:
                _accept(segment, frame, log_id)
            group, bad = [], False
        else:
            group.append(item)
    _keep_whole_frames(segment, content, log_id)
    return segment


def _keep_whole_frames(segment: SegmentContent, content: bytes, log_id: str) -> None:
    """Find the frames right after the last commit: events in sequence, and the cut of just these events."""
    expected = segment.next_sequence
    start = segment.whole
    for item in read_frames(content[start:]):
        if isinstance(item, BadBytes):
            return
        if item.type == FrameType.EVENT and (event := decode_event(item.payload)).sequence == expected:
            segment.recommit.append(event)
            expected += 1
        elif item.type == FrameType.CUT and _is_cut_at(Cut.decode(item.payload), segment, log_id, expected - 1):
            segment.cuts.append(Cut.decode(item.payload))
        else:
            return
        segment.recommit_frames += 1
        segment.whole = start + item.end
        segment.stopped = False


def _is_cut_at(cut: Cut, segment: SegmentContent, log_id: str, last: int) -> bool:
    return (cut.log_id, cut.first, cut.last) == (log_id, segment.first_sequence, last)


def _accept(segment: SegmentContent, frame: Frame, log_id: str) -> None:
    segment.stopped = frame.type == FrameType.STOP
    if frame.type == FrameType.EVENT:
        segment.events.append(decode_event(frame.payload))
    elif frame.type == FrameType.SEGMENT:
        header = orjson.loads(frame.payload)
        if header["format"] > FORMAT:
            raise DataDirectoryProblem(f"the journal has format {header['format']}; {LATER_VERSION}")
        segment.storage = header["storage"]
    elif frame.type == FrameType.CUT:
        cut = Cut.decode(frame.payload)
        segment.cuts.append(cut)
        if (cut.log_id, cut.first) == (log_id, segment.first_sequence):
            segment.last_committed = max(segment.last_committed, cut.last)


def _holes(segments: Sequence[SegmentContent], settled: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Every sequence that was given and is neither settled nor readable, as ranges.

    A range ends where a segment does, so that it stays the same when the segments before it are trimmed.
    """
    holes: list[tuple[int, int]] = []
    expected = 1
    for segment in segments:
        readable = [(event.sequence, event.sequence) for event in segment.events]
        begin, end = segment.first_sequence, segment.next_sequence
        for first, last in ((begin, begin - 1), *readable, (end, end - 1)):
            if first > expected:
                holes += rest(expected, first - 1, settled)
            expected = max(expected, first, last + 1)
    return holes
