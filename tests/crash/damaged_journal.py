"""A journal of three segments, ways to damage it, and what must come of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from server.audit_log.journal.frames import BadBytes, Frame, FrameType, decode_event, read_frames
from tests.crash.forgetful_files import ForgetfulFiles
from tests.crash.log_under_test import PLACES, LogUnderTest, StateFile

SEGMENTS = ("first", "middle", "last")


@dataclass(frozen=True)
class Span:
    """Where a frame lies in its segment."""

    type: FrameType
    start: int
    end: int
    sequence: int
    """Of an event; 0 else."""


@dataclass(frozen=True)
class Segment:
    """One segment as it was before any damage."""

    path: Path
    content: bytes
    spans: tuple[Span, ...]

    @property
    def is_last(self) -> bool:
        """Whether it takes events still: its last frame isn't that of its cut's commit."""
        return all(span.type != FrameType.CUT for span in self.spans)

    @property
    def sequences(self) -> list[int]:
        """Those of its events."""
        return [span.sequence for span in self.spans if span.sequence]


@dataclass(frozen=True)
class Outcome:
    """What must come of a damage."""

    lost: tuple[int, ...] = ()
    """Sequences."""
    is_damage: bool = False
    """True: the lost are named as holes, and a new log begins. False: what was cut off is taken for a torn tail."""
    torn_bytes: int = 0


def build(state: StateFile) -> tuple[ForgetfulFiles, LogUnderTest, dict[str, Segment]]:
    """Nine events, sequence = number + 1, three to a segment; two segments are cut, nothing is delivered."""
    files = ForgetfulFiles()
    state.put()
    log = LogUnderTest(files, state)
    for first in (0, 3, 6):
        log.emit(first, first + 1)
        log.emit(first + 2)
        if first < 6:
            log.log.writer.cut()
    folder = PLACES.journal / log.log.journal.log_id
    found = [_segment(folder / name, files.read(folder / name)) for name in files.list(folder)]
    return files, log, dict(zip(SEGMENTS, found, strict=True))


def _segment(path: Path, content: bytes) -> Segment:
    return Segment(path, content, tuple(_spans(content)))


def _spans(content: bytes) -> Iterator[Span]:
    start = 0
    for item in read_frames(content):
        assert not isinstance(item, BadBytes)
        yield Span(FrameType(item.type), start, item.end, _sequence(item))
        start = item.end


def _sequence(frame: Frame) -> int:
    return decode_event(frame.payload).sequence if frame.type == FrameType.EVENT else 0


def flipped(content: bytes, position: int) -> bytes:
    """With one bit of the byte at `position` the other way round."""
    return content[:position] + bytes([content[position] ^ 1 << position % 8]) + content[position + 1 :]


def zeroed(content: bytes, start: int, end: int) -> bytes:
    """With zeros from `start` to `end`, which may lie behind the end."""
    end = min(end, len(content))
    return content[:start] + bytes(end - start) + content[end:]


def outcome_of_bad_bytes(segment: Segment, start: int, end: int) -> Outcome:
    """What must come of bytes `start` to `end` being bad: it is damage if a commit follows, or another segment."""
    hit = [span for span in segment.spans if span.start < end and span.end > start]
    lost = tuple(span.sequence for span in hit if span.sequence)
    if not segment.is_last or any(span.type == FrameType.COMMIT and span.start >= end for span in segment.spans):
        return Outcome(lost, is_damage=True)
    return Outcome(lost, torn_bytes=len(segment.content) - hit[0].start)


def outcome_of_cut(segment: Segment, size: int) -> Outcome:
    """What must come of the segment being cut off at `size`."""
    lost = tuple(span.sequence for span in segment.spans if span.end > size and span.sequence)
    # The header without its commit is begun anew.
    whole = max((span.end for span in segment.spans[1:] if span.end <= size), default=0)
    return Outcome(lost, is_damage=True) if not segment.is_last else Outcome(lost, torn_bytes=size - whole)
