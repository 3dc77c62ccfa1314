"""The journal and the spool: what waits, for how long, and what can't be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from server.audit_log.journal.forks import has_lost_segments, log_names
from server.audit_log.journal.segments import LogContent, read_log
from server.audit_log.journal.trimming import DAMAGED as SET_ASIDE_FOLDER
from server.doctor import journal_forks
from server.doctor.data_at_hand import LOG_ID, DataAtHand
from server.doctor.findings import Fact, Fault, Finding, Severity, Told, Unexamined

_ABOUT_TO_LEAVE_MS: Final = 60_000
"""A server removes the spool's files of a batch moments after the batch is confirmed."""
_ATTEMPTS: Final = 5
_LATE_MS: Final = 300_000

MISSING: Final = Fault(
    "journal_missing",
    Severity.ERROR,
    "The journal has lost its log, or all segments of it: what was acknowledged after the last stored batch is gone.",
    "Stop the server and put the folder journal back from a copy. Else start it: it begins another log, and the event "
    "extaudit.journal.fork says so; emitters that keep their events can send again.",
)
DAMAGED: Final = Fault(
    "journal_damaged",
    Severity.ERROR,
    "A segment of the journal has bytes that can't be read, and what was acknowledged may be among them.",
    "Copy the whole journal folder first. Look at the disk, then restart the server: it keeps what can be read, names "
    "what is lost, and sets the segment aside.",
)
HOLE: Final = Fault(
    "journal_hole",
    Severity.ERROR,
    "Acknowledged events can be found neither in the journal nor in the storage.",
    "Put the missing segment back from a copy while the server is stopped. Else start it: it names the range as lost.",
)
LOST: Final = Fault(
    "events_lost",
    Severity.WARNING,
    "Events were lost to damage of the journal in the past; every search says so.",
    "A copy of the journal or of journal/damaged may still hold them; emitters that keep their events can send again.",
)
TORN: Final = Fault(
    "journal_torn_tail",
    Severity.NOTICE,
    "The journal ends in a write that wasn't finished, and so was never acknowledged.",
    "Start the server; it cuts it off.",
)
SET_ASIDE: Final = Fault(
    "journal_set_aside",
    Severity.NOTICE,
    "Damaged segments were set aside at an earlier start.",
    "Keep them as long as the lost events matter, then move them away.",
)
FULL: Final = Fault(
    "journal_full",
    Severity.ERROR,
    "The journal has reached journal.quota_bytes: the intake is closed.",
    "Look at why batches aren't delivered: `extaudit status` tells the last error.",
)
FILLING: Final = Fault(
    "journal_filling",
    Severity.WARNING,
    "The journal is larger than half of journal.quota_bytes.",
    "Look at why batches aren't delivered: `extaudit status` tells the last error.",
)
LATE: Final = Fault(
    "journal_late",
    Severity.WARNING,
    "A server runs, and events have been in the journal for much longer than journal.cut_age_seconds.",
    "Look at why batches aren't delivered: `extaudit status` tells the last error.",
)
SPOOL_LEFT: Final = Fault(
    "spool_left",
    Severity.NOTICE,
    "The spool has the files of a batch that is in the storage already.",
    "Start the server; it removes them.",
)

FAULTS: Final = (MISSING, DAMAGED, HOLE, LOST, TORN, SET_ASIDE, FULL, FILLING, LATE, SPOOL_LEFT, *journal_forks.FAULTS)


def check(at: DataAtHand) -> Told:
    """Read every log as a start would."""
    yield from journal_forks.forks_to_come(at)
    logs = _logs(at)
    is_served = at.is_served()
    names = log_names(at.files, at.directory.journal)
    if not names and at.catalogue().confirmed():
        yield MISSING.of("journal", "has no log")
    elif has_lost_segments(at.files, at.directory.journal):
        stored = at.catalogue().confirmed().get(names[-1], 0)
        yield MISSING.of(f"journal/{names[-1]}", f"has no segment; its events up to {stored} are stored")
    for log in logs:
        yield from _damage(log)
    last = logs[-1].segments[-1] if logs else None
    if last is not None and is_served is False and last.whole < last.size and not logs[-1].damaged:
        yield TORN.of(f"journal/{logs[-1].log_id}/{last.name}", f"{last.size - last.whole} bytes")
    for log_id, first, end in at.catalogue().holes():
        yield LOST.of(log_id, f"sequences {first}-{end}")
    for name in at.files.list(at.directory.journal / SET_ASIDE_FOLDER):
        yield SET_ASIDE.of(f"journal/{SET_ASIDE_FOLDER}/{name}")
    yield from _size_and_age(at, logs, is_served=is_served)
    yield from _spool(at, is_served=is_served is not False)


def _logs(at: DataAtHand) -> list[LogContent]:
    """Every log with what of it can't be found, as of one moment, in spite of a server that delivers meanwhile."""
    for _ in range(_ATTEMPTS):
        folder, settled = at.directory.journal, at.catalogue().settled()
        try:
            logs = [
                read_log(at.files, folder / name, name, settled.get(name, ()))
                for name in at.files.list(folder)
                if LOG_ID.fullmatch(name)
            ]
        except FileNotFoundError:  # trimmed between listing and reading
            continue
        logs = [log for log in logs if log.segments]
        if not any(log.damaged for log in logs) or at.catalogue().settled() == settled:
            return logs
    raise Unexamined("the journal changes faster than it can be read")


def _damage(log: LogContent) -> Iterator[Finding]:
    for segment in log.segments:
        if segment.damaged:
            yield DAMAGED.of(f"journal/{log.log_id}/{segment.name}", f"{segment.size} bytes")
    for first, last in log.holes:
        yield HOLE.of(log.log_id, f"sequences {first}-{last}")


def _size_and_age(at: DataAtHand, logs: list[LogContent], *, is_served: bool | None) -> Told:
    size = sum(segment.size for log in logs for segment in log.segments)
    delivered = {(batch.log_id, batch.first) for batch in at.catalogue().batches()}
    waiting = [
        event.received_ms
        for log in logs
        for segment in log.segments
        if (log.log_id, segment.first_sequence) not in delivered
        for event in segment.events
    ]
    settings = at.config.journal
    yield Fact("bytes", size)
    yield Fact("quota bytes", settings.quota_bytes)
    yield Fact("events waiting", len(waiting))
    if size >= settings.quota_bytes:
        yield FULL.of("journal", f"{size} bytes")
    elif size >= settings.quota_bytes / 2:
        yield FILLING.of("journal", f"{size} bytes")
    if waiting:
        age_ms = at.now_ms - min(waiting)
        yield Fact("seconds the oldest waits", round(age_ms / 1000))
        if is_served and age_ms > 2000 * settings.cut_age_seconds + _LATE_MS:
            yield LATE.of("journal", f"the oldest event waits since {age_ms // 1000} s")


def _spool(at: DataAtHand, *, is_served: bool) -> Iterator[Finding]:
    folder = at.directory.spool
    names = at.files.list(folder)
    pending = {f"{log_id}-{first}" for log_id, first in at.pending()}  # after the listing: see the catalogue's check
    for name in names:
        if name.rpartition("-")[0] not in pending and _is_left(folder / name, at, is_served=is_served):
            yield SPOOL_LEFT.of(f"spool/{name}")


def _is_left(batch: Path, at: DataAtHand, *, is_served: bool) -> bool:
    """Whether it is there, and not because a server that is under way is just about to remove it."""
    try:
        changed_ms = batch.stat().st_mtime_ns // 1_000_000
    except OSError:
        return False
    return not is_served or changed_ms < at.now_ms - _ABOUT_TO_LEAVE_MS
