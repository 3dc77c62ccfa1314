"""Recovery: from what a stop left in the journal folder to a journal that takes events again.

A torn tail is cut and reported. Bad bytes followed by a valid commit are damage: the readable rest becomes batches, the
lost range is a named hole, the damaged segments are set aside, and a new log begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from server.audit_log.cuts import Cut
from server.audit_log.journal.frames import EventFrame
from server.audit_log.journal.journal import Journal
from server.audit_log.journal.segments import LOG_ID, PART, LogContent, SegmentContent, make_log, read_log
from server.audit_log.state_of_service import JournalHole
from server.files import Files

Batches = Callable[[str, int], Cut | None]
"""From a log and a first sequence to the cut of the confirmed batch that begins there; None if there is none."""
Settled = Mapping[str, Sequence[tuple[int, int]]]
"""For each log the ranges of sequences that are confirmed in a storage, or known to be lost."""


@dataclass(frozen=True, slots=True)
class RecoveredSection:
    """The events of one segment that is not yet trimmed."""

    log_id: str
    first: int
    storage: str
    events: list[EventFrame]
    cut: Cut | None
    """The cut that was recorded for it, or the one that must be; None for the segment that goes on taking events."""
    cut_recorded: bool
    damaged: bool


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a start found."""

    journal: Journal
    sections: list[RecoveredSection]
    """In order; those with a cut are to be delivered before anything newer."""
    empty: list[tuple[str, int, bool]]
    """Log, first sequence and damage of segments that take nothing more and hold nothing: to be trimmed."""
    holes: list[JournalHole]
    torn_tail_bytes: int
    clean: bool
    """True when the stop before was in order (or there was none before)."""


def recover(
    files: Files,
    folder: Path,
    settled: Settled,
    batches: Batches,
    storage: str,
    new_log_id: Callable[[], str],
    look_further: Callable[[Settled], Settled] | None = None,
) -> Recovery:
    """Read every log, cut back a torn tail, and open the journal.

    Args:
        files: where the journal is.
        folder: the journal's folder.
        settled: what is confirmed or lost of each log.
        batches: the confirmed batches.
        storage: the active storage, for a new log.
        new_log_id: gives the name of a new log.
        look_further: asked where something seems to be lost, which it is given: it looks in storages that were not
            looked in before, and gives what is settled then.
    """
    files.make_folder(folder)
    names = [name for name in files.list(folder) if LOG_ID.fullmatch(name)]
    _remove_unfinished(files, folder, names)
    logs = _read_logs(files, folder, names, settled)
    if look_further is not None and any(log.holes for log in logs):
        logs = _read_logs(files, folder, names, look_further({log.log_id: log.holes for log in logs}))
    stored = {(cut.log_id, cut.first): cut for cut in _confirmed_cuts(logs, batches)}
    disputed = [(log.log_id, *found) for log in logs for found in _beyond_their_batch(log, stored)]
    current = logs[-1] if logs and not logs[-1].damaged else None
    recorded = {(cut.log_id, cut.first): cut for log in logs for segment in log.segments for cut in segment.cuts}
    cuts = recorded | stored
    _name_storages(logs, cuts, storage)
    journal = _open(files, folder, current, cuts, storage, new_log_id)
    found = [(log, segment) for log in logs for segment in log.segments]
    open_segment = current.segments[-1] if current else None
    return Recovery(
        journal,
        [
            _section(log, segment, cuts, recorded, is_open=segment is open_segment)
            for log, segment in found
            if segment.next_sequence > segment.first_sequence or (log.log_id, segment.first_sequence) in cuts
        ],
        [
            (log.log_id, segment.first_sequence, segment.damaged)
            for log, segment in found
            if segment is not open_segment and _is_empty(log, segment, cuts, logs)
        ],
        [JournalHole(*hole) for hole in (*((log.log_id, *found) for log in logs for found in log.holes), *disputed)],
        open_segment.size - open_segment.whole if open_segment else 0,
        clean=not logs or logs[-1].segments[-1].stopped,
    )


def _remove_unfinished(files: Files, folder: Path, names: Sequence[str]) -> None:
    for name in names:
        for leftover in files.list(folder / name):
            if leftover.endswith(PART):
                files.remove(folder / name / leftover)
    for name in files.list(folder):
        if LOG_ID.fullmatch(name.removesuffix(PART)) and name.endswith(PART):
            for leftover in files.list(folder / name):
                files.remove(folder / name / leftover)
            files.remove_folder(folder / name)


def _read_logs(files: Files, folder: Path, names: Sequence[str], settled: Settled) -> list[LogContent]:
    return [log for name in names if (log := read_log(files, folder / name, name, settled.get(name, ()))).segments]


def _confirmed_cuts(logs: Sequence[LogContent], batches: Batches) -> list[Cut]:
    """The cuts that must have been recorded: the batch of their segment is in a storage."""
    return [
        cut
        for log in logs
        for segment in log.segments
        if (cut := batches(log.log_id, segment.first_sequence)) is not None
    ]


def _name_storages(logs: Sequence[LogContent], cuts: Mapping[tuple[str, int], Cut], storage: str) -> None:
    """Where the events of a segment belong whose header can't be read: where its cut says, else where those of the
    segment before it do, else to the active storage."""
    for log in logs:
        before = storage
        for segment in log.segments:
            cut = cuts.get((log.log_id, segment.first_sequence))
            segment.storage = before = segment.storage or (cut.storage if cut is not None else before)


def _beyond_their_batch(log: LogContent, cuts: Mapping[tuple[str, int], Cut]) -> list[tuple[int, int]]:
    """First and last sequence of what a segment has behind the end of its batch: two journals have written this log.

    The segment is set aside for people to look at.
    """
    found = []
    for segment in log.segments:
        cut = cuts.get((log.log_id, segment.first_sequence))
        if cut is not None and segment.next_sequence - 1 > cut.last:
            segment.damaged = True
            found.append((cut.last + 1, segment.next_sequence - 1))
    return found


def _is_empty(
    log: LogContent, segment: SegmentContent, cuts: Mapping[tuple[str, int], Cut], logs: Sequence[LogContent]
) -> bool:
    """Whether no sequence was given in it, and no cut in it is of a segment that is still there."""
    there = {(other.log_id, item.first_sequence) for other in logs for item in other.segments}
    return (
        segment.next_sequence == segment.first_sequence
        and (log.log_id, segment.first_sequence) not in cuts
        and not any((cut.log_id, cut.first) in there for cut in segment.cuts)
    )


def _open(
    files: Files,
    folder: Path,
    current: LogContent | None,
    cuts: Mapping[tuple[str, int], Cut],
    storage: str,
    new_log_id: Callable[[], str],
) -> Journal:
    if current is None:
        make_log(files, folder, log_id := new_log_id())
        return Journal(files, folder, log_id, 1, storage)
    segment = current.segments[-1]
    cut = cuts.get((current.log_id, segment.first_sequence))
    next_sequence = max(segment.next_sequence, cut.last + 1) if cut else segment.next_sequence
    journal = Journal(files, folder, current.log_id, next_sequence, segment.storage)
    if segment.whole:
        events = segment.recommit
        ends = (events[0].sequence, events[-1].sequence) if events else (0, 0)
        journal.resume(segment.name, segment.whole, (*ends, segment.recommit_frames), is_cut=cut is not None)
    return journal


def _section(
    log: LogContent,
    segment: SegmentContent,
    cuts: Mapping[tuple[str, int], Cut],
    recorded: Mapping[tuple[str, int], Cut],
    *,
    is_open: bool,
) -> RecoveredSection:
    key = log.log_id, segment.first_sequence
    cut = cuts.get(key)
    if cut is None and not is_open:
        cut = Cut(*key, segment.next_sequence - 1, segment.storage)
    damaged = segment.damaged or any(
        first < segment.next_sequence and last >= segment.first_sequence for first, last in log.holes
    )
    return RecoveredSection(*key, segment.storage, segment.events, cut, key in recorded, damaged)
