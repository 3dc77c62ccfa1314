"""Opening the audit log at start: recovery, the tail and the known uids as they were, cuts taken up again."""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from server.audit_log.columns.layout import FINGERPRINT, Table
from server.audit_log.cuts import Cut, CutLimits
from server.audit_log.diverting import diversion_of
from server.audit_log.forking import fork_if_needed
from server.audit_log.journal import forks
from server.audit_log.journal.frames import EventFrame
from server.audit_log.journal.journal import Journal, new_log_id
from server.audit_log.journal.recovery import Batches, RecoveredSection, Recovery, Settled, recover
from server.audit_log.known_uids import RECEIVED, KnownUids, UidLimits, uid_entries
from server.audit_log.log_writer import LogWriter
from server.audit_log.rebuilding import RECALLED_AT_ONCE, rebuild, recall
from server.audit_log.record_proof import RecordProofs
from server.audit_log.spool import Spool
from server.audit_log.storages import DEFAULT, Storages
from server.audit_log.tail import Section, Tail, TailBlock
from server.audit_log.uid_files import UidFiles
from server.audit_log.validation import Validator
from server.files import Files
from server.state.catalogue import Catalogue
from server.state.diversions import Diversion
from server.state.outbox import Outbox
from server.storage.ports import EventStorage, StorageError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of the audit log."""

    journal: Path
    spool: Path
    known_uids: Path
    token_keys: tuple[Path, ...] = ()
    """Keys that a copy of the data directory must not share."""


@dataclass(frozen=True, slots=True)
class OpenLog:
    """The audit log, ready to take events."""

    journal: Journal
    tail: Tail
    writer: LogWriter
    spool: Spool
    uid_files: UidFiles
    proofs: RecordProofs
    recovery: Recovery
    is_copy: bool
    """Whether the data directory turned out to be a copy, of whose files nothing is known yet."""


def open_log(
    files: Files,
    places: Places,
    storages: Storages,
    catalogue: Catalogue,
    outbox: Outbox,
    cut_limits: CutLimits,
    uid_limits: UidLimits,
    on_cut: Callable[[], None],
    validator: Validator,
    proofs: RecordProofs,
) -> OpenLog:
    """Recover what a stop left and open the journal. A new log begins in the active one of the storages.

    Raises:
        OSError: a file can't be read or written; the service must not start.
        Unavailable: the journal can't be written.
    """
    active = storages.active
    rebuild(storages.of(DEFAULT), catalogue, forks.segments_of(files, places.journal))
    fork = fork_if_needed(files, places.journal, places.token_keys, active, catalogue, outbox)
    further = partial(_look_further, storages, catalogue, proofs)
    recovery = recover(files, places.journal, catalogue.settled(), _cut_of(catalogue), active, new_log_id, further)
    if not forks.keeps_segments(files, places.journal):
        # Only now: an earlier version may have left the newest log without a segment, and another has been made.
        forks.mark_place(files, places.journal)
    holes = [(hole.log_id, hole.first_sequence, hole.last_sequence) for hole in recovery.holes]
    # Before anything of a damaged log can be delivered and set aside.
    catalogue.add_holes(holes, time.time_ns() // 1_000_000)
    known, uid_files = KnownUids(uid_limits), UidFiles(files, places.known_uids, uid_limits)
    tail, spool = Tail(), Spool(files, places.spool)
    writer = LogWriter(recovery.journal, tail, known, cut_limits, on_cut, _storage_of(catalogue), storages.activate)
    storages.activate(recovery.journal.storage)
    for recovered in recovery.sections:
        section = _section(tail, recovered, validator)
        if recovered.cut is None:
            writer.adopt(section)
            continue
        if not recovered.cut_recorded:
            recovery.journal.record_cut(recovered.cut)
        section.cut = recovered.cut
        if (diversion := _diversion_of(catalogue, spool, section)) is not None:
            tail.divert(section, diversion.to)
    for log_id, entries in _received_in_turn(uid_files.load(), tail):
        known.add(log_id, entries)
    for log_id, first, damaged in recovery.empty:
        recovery.journal.trim(log_id, first, damaged=damaged)
    spool.clean({pin.section.cut.spool_name for pin in tail.pin() if pin.section.cut is not None})
    return OpenLog(recovery.journal, tail, writer, spool, uid_files, proofs, recovery, is_copy=fork is not None)


def _look_further(storages: Storages, catalogue: Catalogue, proofs: RecordProofs, lost: Settled) -> Settled:
    """What is settled once external storages were looked in for what seems to be lost: the state may have lost it."""

    def admits(log_id: str, first: int, last: int) -> bool:
        return any(start <= first and last <= end for start, end in lost.get(log_id, ()))

    def look(storage: EventStorage) -> None:
        try:
            recall(storage, catalogue, admits, proofs)
        except StorageError as error:
            fields = {"storage": storage.storage_id, "reason": str(error)}
            _log.error("events that aren't in the journal can't be looked for in a storage", extra={"fields": fields})

    with ThreadPoolExecutor(RECALLED_AT_ONCE, "recalling") as threads:
        list(threads.map(look, storages.all()[1:]))
    return catalogue.settled()


def _cut_of(catalogue: Catalogue) -> Batches:
    def cut_of(log_id: str, first: int) -> Cut | None:
        batch = catalogue.batch(log_id, first)
        if batch is None:
            return None
        diversion = catalogue.diversions.of(log_id, first)  # its segment is of the storage that it left
        return Cut(log_id, first, batch.last, diversion.storage if diversion is not None else batch.storage)

    return cut_of


def _diversion_of(catalogue: Catalogue, spool: Spool, section: Section) -> Diversion | None:
    """The diversion of a section that is to be delivered elsewhere than where its segment belongs.

    One that the state has lost shows in the spool as soon as a byte of the batch can be in the other storage.
    """
    diversion, batch = (
        catalogue.diversions.of(section.log_id, section.first),
        catalogue.batch(section.log_id, section.first),
    )
    if diversion is None and batch is None and section.cut is not None and spool.has(section.cut.diverted(DEFAULT)):
        diversion = diversion_of(section, DEFAULT)
        catalogue.diversions.restore(diversion)
    # Where the state couldn't tell whether it was diverted, it may have been delivered nevertheless.
    stayed = diversion is not None and batch is not None and batch.storage == diversion.storage
    return None if stayed else diversion


def _storage_of(catalogue: Catalogue) -> Callable[[str, int], str | None]:
    def storage_of(log_id: str, sequence: int) -> str | None:
        batch = catalogue.batch_holding(log_id, sequence)
        return batch.storage if batch is not None else None

    return storage_of


def _received_in_turn(stored: Iterable[tuple[str, Table]], tail: Tail) -> Iterator[tuple[str, Table]]:
    """Uids of stored events and of those in the tail in the order of their receipt: the oldest ones make room, and what
    waits for a storage that is out of reach may be older than what another one has."""
    waiting = (
        (section.log_id, uid_entries(block.table, first, received_ms))
        for section, _ in tail.pin()
        for first, received_ms, _, block in section.blocks
    )
    return heapq.merge(stored, waiting, key=lambda chunk: int(chunk[1][0, RECEIVED]))


def _section(tail: Tail, recovered: RecoveredSection, validator: Validator) -> Section:
    section = tail.begin(recovered.log_id, recovered.first, recovered.storage)
    section.damaged = recovered.damaged
    section.extend([_block(frames, validator) for frames in _runs(recovered.events)])
    return section


def _runs(frames: Sequence[EventFrame]) -> Iterator[list[EventFrame]]:
    """Events that follow each other in sequence with one receipt: what was a submission, or what is left of it."""
    run: list[EventFrame] = []
    for frame in frames:
        if run and (run[-1].sequence + 1, run[-1].received_ms, run[-1].receipt) != (
            frame.sequence,
            frame.received_ms,
            frame.receipt,
        ):
            yield run
            run = []
        run.append(frame)
    if run:
        yield run


def _block(frames: Sequence[EventFrame], validator: Validator) -> TailBlock:
    block = validator.stored([frame.data for frame in frames])
    prints = np.frombuffer(b"".join(frame.fingerprint for frame in frames), np.int64).reshape(-1, 2)
    block.table[:, FINGERPRINT : FINGERPRINT + 2] = prints
    return TailBlock(frames[0].sequence, frames[0].received_ms, frames[0].receipt, block)
