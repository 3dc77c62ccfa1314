"""Reading one log back: which events are there, which sequences are lost, and where its torn tail begins.

Nothing is changed here: recovery.py acts on what is found.
"""

from __future__ import annotations

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
from server.files import Files

SUFFIX = ".seg"


def segment_name(first_sequence: int) -> str:
    """File name of the segment that begins with this sequence; names sort as sequences do."""
    return f"{first_sequence:020d}{SUFFIX}"


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
    """Bytes up to the last commit, and the whole event frames that directly follow it."""
    recommit: list[EventFrame] = field(default_factory=list)
    """Those event frames: they lack a commit, and are kept because nothing says that they weren't acknowledged."""
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


def read_log(files: Files, folder: Path, log_id: str, expected: int | None) -> LogContent:
    """Read all segments of one log.

    Args:
        files: where they are.
        folder: the log's folder.
        log_id: the log's name.
        expected: the sequence after the last confirmed one; None where no batch of the log is confirmed.
    """
    names = [name for name in files.list(folder) if name.endswith(SUFFIX)]
    segments = [read_segment(files.read(folder / name), name) for name in names]
    for segment in segments[:-1]:
        # Only the last segment can end in a torn write: the next one is begun after a sync of this one.
        if segment.whole < segment.size or segment.recommit:
            segment.damaged = True
    for segment in segments:
        segment.events += segment.recommit
    return LogContent(log_id, segments, _holes(segments, expected))


def read_segment(content: bytes, name: str) -> SegmentContent:
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
                _accept(segment, frame)
            group, bad = [], False
        else:
            group.append(item)
    _keep_whole_events(segment, content)
    return segment


def _keep_whole_events(segment: SegmentContent, content: bytes) -> None:
    """Find the event frames right after the last commit, in sequence."""
    expected = segment.next_sequence
    start = segment.whole
    for item in read_frames(content[start:]):
        if isinstance(item, BadBytes) or item.type != FrameType.EVENT:
            return
        event = decode_event(item.payload)
        if event.sequence != expected:
            return
        segment.recommit.append(event)
        segment.whole = start + item.end
        segment.stopped = False
        expected += 1


def _accept(segment: SegmentContent, frame: Frame) -> None:
    segment.stopped = frame.type == FrameType.STOP
    if frame.type == FrameType.EVENT:
        segment.events.append(decode_event(frame.payload))
    elif frame.type == FrameType.SEGMENT:
        segment.storage = orjson.loads(frame.payload)["storage"]
    elif frame.type == FrameType.CUT:
        segment.cuts.append(Cut.decode(frame.payload))


def _holes(segments: Sequence[SegmentContent], expected: int | None) -> list[tuple[int, int]]:
    """Every sequence that was given and is neither confirmed nor readable, as ranges."""
    holes: list[tuple[int, int]] = []
    if expected is None:
        expected = segments[0].first_sequence if segments else 1
    for segment in segments:
        given = {event.sequence for event in segment.events}
        for sequence in range(expected, segment.next_sequence):
            if sequence in given:
                continue
            if holes and holes[-1][1] == sequence - 1:
                holes[-1] = (holes[-1][0], sequence)
            else:
                holes.append((sequence, sequence))
        expected = max(expected, segment.next_sequence)
    return holes
