"""What `extaudit journal fork` does: have the next start end the log of a copied data directory and begin another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from server.audit_log.journal import forks
from server.audit_log.journal.forks import Fork, LastAcknowledged
from server.audit_log.journal.segments import LOG_ID
from server.data_directory import DataDirectory, DataDirectoryProblem
from server.files import DiskFiles
from server.state.catalogue import Catalogue
from server.state.database import StateFault, open_database
from server.state.migrations import NewerSchema

MAX_REASON_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class Requested:
    """A fork that the next start carries out."""

    log_id: str
    """The log that ends; '' where there is none yet."""
    last_sequence: int
    """The last one that its journal has; the storage may have more."""
    fork: Fork


def request_fork(
    data_dir: Path, reason: str, operator: str, last_acknowledged: str | None, *, replace: bool = False
) -> Requested:
    """Ask for a fork, durably; nothing else in the directory changes before the next start.

    Args:
        data_dir: no service may run on it.
        reason: why, for the audit event; 1 to 256 characters.
        operator: the user of this machine who asks.
        last_acknowledged: LOG_ID:SEQUENCE of the last event that the original is known to have acknowledged.
        replace: whether it takes the place of one that was asked for before.

    Raises:
        DataDirectoryProblem: an argument is wrong, another fork is asked for or under way, the directory is in use or
            has no journal.
    """
    reason = reason.strip()
    if not 1 <= len(reason) <= MAX_REASON_CHARACTERS:
        raise DataDirectoryProblem(f"give a reason of 1 to {MAX_REASON_CHARACTERS} characters")
    directory, files = DataDirectory(data_dir), DiskFiles()
    if not directory.journal.is_dir():
        raise DataDirectoryProblem("this is no data directory with a journal; give it with --data-dir")
    with directory.acquire():
        under_way = forks.asked(files, directory.journal)
        if under_way is not None:
            _refuse_another(under_way, replace=replace)
        acknowledged = _acknowledged(directory, last_acknowledged) if last_acknowledged else None
        fork = Fork(reason, operator, acknowledged)
        log_id = forks.current_log(files, directory.journal)
        last = forks.last_sequence(files, directory.journal, log_id)
        forks.ask(files, directory.journal, fork)
    return Requested(log_id, last, fork)


def _refuse_another(under_way: Fork, *, replace: bool) -> None:
    if under_way.new_log_id:
        raise DataDirectoryProblem("a fork is under way already; start the service, which finishes it")
    if not replace:
        last = under_way.acknowledged
        known = f", last acknowledged {last.log_id}:{last.sequence}" if last else ""
        by = f" by {under_way.operator}" if under_way.operator else ""
        raise DataDirectoryProblem(
            f"a fork is asked for already{by} (reason: {under_way.reason}{known}); --replace puts this one in its place"
        )


def _acknowledged(directory: DataDirectory, text: str) -> LastAcknowledged:
    log_id, _, sequence = text.partition(":")
    if not LOG_ID.fullmatch(log_id) or not sequence.isascii() or not sequence.isdigit() or len(sequence) > 18:
        raise DataDirectoryProblem("the last acknowledged event is given as LOG_ID:SEQUENCE, as receipts name it")
    confirmed = _confirmed(directory)
    if log_id not in {*confirmed, *DiskFiles().list(directory.journal)}:
        # A range of it would be named as lost in every answer from then on.
        raise DataDirectoryProblem(f"this data directory knows no log {log_id}")
    last = max(forks.last_sequence(DiskFiles(), directory.journal, log_id), confirmed.get(log_id, 0))
    if int(sequence) < last:
        raise DataDirectoryProblem(
            f"event {sequence} isn't the last: this directory has those of log {log_id} up to {last}; "
            "give a later one, or leave --last-acknowledged out if none is known"
        )
    return LastAcknowledged(log_id, int(sequence))


def _confirmed(directory: DataDirectory) -> Mapping[str, int]:
    """For each log the last sequence whose batch is confirmed in a storage, as far as the state tells."""
    if not directory.state.exists():
        return {}
    try:
        engine = open_database(directory.state)
        try:
            return Catalogue(engine).confirmed()
        finally:
            engine.dispose()
    except (StateFault, NewerSchema) as error:
        raise DataDirectoryProblem("the state database can't be read") from error
