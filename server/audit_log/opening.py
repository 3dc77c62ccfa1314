"""Opening the audit log at start: recovery, the tail and the known uids as they were, cuts taken up again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from server.audit_log.cuts import CutLimits
from server.audit_log.delivery import rebuild
from server.audit_log.event import stored_event
from server.audit_log.journal.journal import Journal, new_log_id
from server.audit_log.journal.recovery import RecoveredSection, Recovery, recover
from server.audit_log.known_uids import KnownUid, KnownUids, UidFiles, UidLimits
from server.audit_log.log_writer import LogWriter
from server.audit_log.spool import Spool
from server.audit_log.tail import Section, Tail, TailRow
from server.files import Files
from server.state.catalogue import Catalogue
from server.storage.ports import EventStorage


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of the audit log."""

    journal: Path
    spool: Path
    known_uids: Path


@dataclass(frozen=True, slots=True)
class OpenLog:
    """The audit log, ready to take events."""

    journal: Journal
    tail: Tail
    writer: LogWriter
    spool: Spool
    uid_files: UidFiles
    recovery: Recovery


def open_log(
    files: Files,
    places: Places,
    storage: EventStorage,
    catalogue: Catalogue,
    cut_limits: CutLimits,
    uid_limits: UidLimits,
    on_cut: Callable[[], None],
) -> OpenLog:
    """Recover what a stop left and open the journal.

    Raises:
        OSError: a file can't be read or written; the service must not start.
        Unavailable: the journal can't be written.
    """
    rebuild(storage, catalogue)
    recovery = recover(files, places.journal, catalogue.confirmed(), storage.storage_id, new_log_id)
    holes = [(hole.log_id, hole.first_sequence, hole.last_sequence) for hole in recovery.holes]
    # Before anything of a damaged log can be delivered and set aside.
    catalogue.add_holes(holes, time.time_ns() // 1_000_000)
    known, uid_files = KnownUids(uid_limits), UidFiles(files, places.known_uids, uid_limits)
    for entry in uid_files.load():
        known.add(entry)
    tail, spool = Tail(), Spool(files, places.spool)
    writer = LogWriter(recovery.journal, tail, known, cut_limits, on_cut)
    for recovered in recovery.sections:
        section = _section(tail, recovered, known)
        if recovered.cut is None:
            writer.adopt(section)
            continue
        if not recovered.cut_recorded:
            recovery.journal.record_cut(recovered.cut)
        section.cut = recovered.cut
    for log_id, first, damaged in recovery.empty:
        recovery.journal.trim(log_id, first, damaged=damaged)
    spool.clean({recovered.cut.name for recovered in recovery.sections if recovered.cut is not None})
    return OpenLog(recovery.journal, tail, writer, spool, uid_files, recovery)


def _section(tail: Tail, recovered: RecoveredSection, known: KnownUids) -> Section:
    section = tail.begin(recovered.log_id, recovered.first, recovered.storage)
    section.damaged = recovered.damaged
    rows = [
        TailRow(frame.sequence, frame.received_ms, frame.receipt, stored_event(frame.data, frame.fingerprint))
        for frame in recovered.events
    ]
    section.extend(rows)
    for row in rows:
        event = row.event
        known.add(KnownUid(event.uid, event.fingerprint, row.sequence, recovered.log_id, row.received_ms))
    return section
