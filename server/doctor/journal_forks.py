"""Forks to come: whether the next start ends the log and begins another, and the files that say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from server.audit_log.journal import forks
from server.audit_log.journal.forks import Fork
from server.doctor.data_at_hand import DataAtHand
from server.doctor.findings import Fault, Finding, Severity, Unexamined

TO_COME: Final = Fault(
    "journal_fork_to_come",
    Severity.WARNING,
    "The next start ends the log and begins another, as one does in a copy.",
    "Start the server if that is meant: what is here stays, and page tokens that are out are refused. If it was asked "
    "for by mistake, remove journal/fork.json before the start.",
)
UNREADABLE: Final = Fault(
    "journal_mark_damaged",
    Severity.ERROR,
    "journal/fork.json or journal/place.json isn't as it was written, so that the next start ends the log and begins "
    "another.",
    "Look at the disk. If the directory is no copy and nobody asked for a fork, remove the file before the start, and "
    "the log goes on.",
)

FAULTS: Final = (TO_COME, UNREADABLE)
_UNDER_WAY: Final = "Start the server, which finishes it."
_OF_A_COPY: Final = (
    "If it is a copy, run `extaudit journal fork` before the start: it takes the reason, and the last event that the "
    "original acknowledged. If it was only moved, start the server: what is here stays, and page tokens that are out "
    "are refused."
)


def forks_to_come(at: DataAtHand) -> Iterator[Finding]:
    """Tell what a start would do. Beside a server there is nothing to come."""
    if at.is_served():
        return
    folder = at.directory.journal
    names = at.files.list(folder)
    if forks.FORK in names:
        try:
            asked = Fork.decode(at.files.read(folder / forks.FORK))
        except (OSError, ValueError):
            yield UNREADABLE.of(f"{folder.name}/{forks.FORK}", "can't be read as a fork")
            return
        yield TO_COME.of(f"{folder.name}/{forks.FORK}", _asked(asked), remedy=_UNDER_WAY if asked.new_log_id else "")
    elif forks.PLACE in names and not _is_place(at):
        yield UNREADABLE.of(f"{folder.name}/{forks.PLACE}", "can't be read as a place")
    elif forks.current_log(at.files, folder) and (fork := forks.noticed(at.files, folder, _confirmed(at))):
        yield TO_COME.of(folder.name, fork.reason, remedy=_OF_A_COPY)


def _asked(fork: Fork) -> str:
    by = f" by {fork.operator}" if fork.operator else ""
    return f"{'under way' if fork.new_log_id else 'asked for'}{by}: {fork.reason}"


def _is_place(at: DataAtHand) -> bool:
    try:
        forks.numbers_in(at.files.read(at.directory.journal / forks.PLACE))
    except (OSError, ValueError):
        return False
    return True


def _confirmed(at: DataAtHand) -> Mapping[str, int]:
    try:
        return at.catalogue().confirmed()
    except Unexamined:  # a copy is told as that without the state too
        return {}
