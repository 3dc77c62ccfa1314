"""Recovery: from what a stop left in the journal folder to a journal that takes events again.

A torn tail is cut and reported. Bad bytes followed by a valid commit are damage: the readable rest becomes batches, the
lost range is a named hole, the damaged segments are set aside, and a new log begins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from server.audit_log.cuts import Cut
from server.audit_log.journal.frames import EventFrame
from server.audit_log.journal.journal import Journal
from server.audit_log.journal.segments import LogContent, SegmentContent, read_log
from server.audit_log.state_of_service import JournalHole
from server.files import Files

_LOG_ID = re.compile(r"[0-9a-f]{20}")


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
    holes: list[JournalHole]
    torn_tail_bytes: int
    clean: bool
    """True when the stop before was in order (or there was none before)."""


def recover(
    files: Files, folder: Path, confirmed: Mapping[str, int], storage: str, new_log_id: Callable[[], str]
) -> Recovery:
    """Read every log, cut back a torn tail, and open the journal.

    Args:
        files: where the journal is.
        folder: the journal's folder.
        confirmed: for each log the last sequence whose batch is confirmed in a storage.
        storage: the active storage, for a new log.
        new_log_id: gives the name of a new log.
    """
    files.make_folder(folder)
    names = [name for name in files.list(folder) if _LOG_ID.fullmatch(name)]
    expected = {log_id: last + 1 for log_id, last in confirmed.items()}
    logs = [log for name in names if (log := read_log(files, folder / name, name, expected.get(name))).segments]
    current = logs[-1] if logs and not logs[-1].damaged else None
    recorded = {(cut.log_id, cut.first): cut for log in logs for segment in log.segments for cut in segment.cuts}
    journal = _open(files, folder, current, recorded, storage, new_log_id)
    sections = [
        _section(log, segment, recorded, storage, is_open=log is current and segment is log.segments[-1])
        for log in logs
        for segment in log.segments
    ]
    return Recovery(
        journal,
        [section for section in sections if section.events or section.damaged],
        [JournalHole(log.log_id, first, last) for log in logs for first, last in log.holes],
        logs[-1].segments[-1].size - logs[-1].segments[-1].whole if current else 0,
        clean=not logs or logs[-1].segments[-1].stopped,
    )


def _open(
    files: Files,
    folder: Path,
    current: LogContent | None,
    recorded: Mapping[tuple[str, int], Cut],
    storage: str,
    new_log_id: Callable[[], str],
) -> Journal:
    if current is None:
        return Journal(files, folder, new_log_id(), 1, storage)
    segment = current.segments[-1]
    cut = recorded.get((current.log_id, segment.first_sequence))
    last_event = segment.events[-1].sequence if segment.events else segment.first_sequence - 1
    journal = Journal(
        files, folder, current.log_id, max(segment.next_sequence, last_event + 1), segment.storage or storage
    )
    if cut is None and segment.whole:
        recommit = [segment.recommit[0].sequence, segment.recommit[-1].sequence] if segment.recommit else []
        journal.resume(segment.name, segment.whole, recommit)
    return journal


def _section(
    log: LogContent,
    segment: SegmentContent,
    recorded: Mapping[tuple[str, int], Cut],
    storage: str,
    *,
    is_open: bool,
) -> RecoveredSection:
    cut = recorded.get((log.log_id, segment.first_sequence))
    cut_recorded = cut is not None
    if cut is None and not is_open:
        last = max(segment.next_sequence - 1, segment.first_sequence)
        cut = Cut(log.log_id, segment.first_sequence, last, segment.storage or storage)
    damaged = segment.damaged or any(
        first <= segment.next_sequence - 1 and last >= segment.first_sequence for first, last in log.holes
    )
    return RecoveredSection(
        log.log_id, segment.first_sequence, segment.storage or storage, segment.events, cut, cut_recorded, damaged
    )
