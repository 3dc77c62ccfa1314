"""Carrying out a fork at a start, before the journal is opened: decide, make new, tell, and be done, in that order.

What follows the decision can be done again; docs/decisions/0012-forks.md has the reasons.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from server.audit_log.journal import forks
from server.audit_log.journal.forks import Fork
from server.audit_log.journal.journal import new_log_id
from server.files import Files
from server.service_events import JOURNAL_FORKED, encoded
from server.state.catalogue import Catalogue
from server.state.outbox import Outbox

_log = logging.getLogger(__name__)


def fork_if_needed(
    files: Files, folder: Path, token_keys: Sequence[Path], storage: str, catalogue: Catalogue, outbox: Outbox
) -> Fork | None:
    """Carry out the fork that is asked for, was begun, or must be; None if there is none.

    Args:
        files: where the journal is.
        folder: its folder.
        token_keys: keys that a copy must not share; removed, so that new ones are made.
        storage: the active storage, for the new log.
        catalogue: with every batch whose record is in a storage.
        outbox: takes the audit event.
    """
    files.make_folder(folder)
    confirmed = catalogue.confirmed()
    fork = forks.asked(files, folder) or forks.noticed(files, folder, confirmed)
    if fork is None:
        if forks.PLACE not in files.list(folder):
            forks.mark_place(files, folder)
        return None
    if not fork.new_log_id or fork.place != files.number(folder):
        fork = _decided(files, folder, fork, confirmed)
        forks.ask(files, folder, fork)
    for key in token_keys:
        if key.name in files.list(key.parent):
            files.remove(key)
            files.sync_folder(key.parent)
    forks.begin_log(files, folder, fork.new_log_id, storage)
    catalogue.add_holes(_lost(files, folder, fork, confirmed), time.time_ns() // 1_000_000)
    outbox.put(fork.event.encode())
    forks.mark_place(files, folder)
    forks.done(files, folder)
    _log.error("the log has ended and another begun", extra={"fields": _facts(fork)})
    return fork


def _decided(files: Files, folder: Path, fork: Fork, confirmed: Mapping[str, int]) -> Fork:
    log_id = max(forks.log_names(files, folder), default="") or max(confirmed, default="")
    event = {
        "event": JOURNAL_FORKED,
        "log_id": log_id,
        "last_sequence": _last(files, folder, log_id, confirmed),
        "new_log_id": forks.following(new_log_id(), log_id, *confirmed),
        "reason": fork.reason,
        "operator": fork.operator,
    }
    place = files.number(folder)
    return replace(fork, new_log_id=str(event["new_log_id"]), place=place, event=encoded(event).decode())


def _last(files: Files, folder: Path, log_id: str, confirmed: Mapping[str, int]) -> int:
    return max(forks.last_sequence(files, folder, log_id), confirmed.get(log_id, 0))


def _lost(files: Files, folder: Path, fork: Fork, confirmed: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """What is known to have been acknowledged and is neither here nor in a storage."""
    if fork.acknowledged is None:
        return []
    log_id, sequence = fork.acknowledged.log_id, fork.acknowledged.sequence
    last = _last(files, folder, log_id, confirmed)
    return [(log_id, last + 1, sequence)] if sequence > last else []


def _facts(fork: Fork) -> dict[str, str]:
    return {"reason": fork.reason, "new_log_id": fork.new_log_id}
