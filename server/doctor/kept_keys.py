"""Keys and known uids: whether what the service keeps across restarts is whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from server.audit_log.uid_files import UID_FILE_NAME, unread_bytes
from server.data_directory import KEPT_SECRETS, RECORDS_KEY, SECRET_BYTES
from server.doctor.data_at_hand import DataAtHand
from server.doctor.findings import Fact, Fault, Severity, Told
from server.state.database import StateFault

DAMAGED: Final = Fault(
    "key_damaged",
    Severity.ERROR,
    "A key of the service isn't as it was made; the server refuses to start with it.",
    "Put it back from a copy. Or remove it, and the next start makes another: page tokens and upload ids that are out "
    "are then refused; without known-uids.key retries of earlier events aren't recognised, and without "
    "batch-records.key and upload-id.key nothing that a lost state knew of buckets is known again.",
)
MISSING: Final = Fault(
    "key_missing",
    Severity.WARNING,
    "A key of the service isn't there, and the next start makes another.",
    "Put it back from a copy before the next start, if there is one: what was made with it isn't recognised else.",
)
UIDS_DAMAGED: Final = Fault(
    "known_uids_damaged",
    Severity.WARNING,
    "A file of known uids is damaged; retries of the events in that part aren't recognised, and are kept twice.",
    "Nothing brings it back but a copy. Look at the disk.",
)
UIDS_TORN: Final = Fault(
    "known_uids_torn",
    Severity.NOTICE,
    "A file of known uids ends in a write that wasn't finished.",
    "After a kill or a power failure nothing is to be done: the next start notes these uids again. If there was none, "
    "the file was cut off: put it back from a copy, and look at the disk.",
)

FAULTS: Final = (DAMAGED, MISSING, UIDS_DAMAGED, UIDS_TORN)
_PROVING_SCHEMA: Final = 12
"""Of the state, from which on every service has made RECORDS_KEY."""


def check(at: DataAtHand) -> Told:
    """Look at the keys, and at the files of known uids."""
    folder = at.directory.identity
    there = set(at.files.list(folder))
    if "ca.crt" in there:  # before, the first start isn't finished
        for name in _made(at):
            if name not in there:
                yield MISSING.of(f"{folder.name}/{name}")
    for name in KEPT_SECRETS:
        if name in there and at.files.size(folder / name) != SECRET_BYTES:
            yield DAMAGED.of(f"{folder.name}/{name}", f"isn't {SECRET_BYTES} bytes long")
    yield from _known_uids(at)


def _known_uids(at: DataAtHand) -> Told:
    uids = at.directory.path / "known_uids"
    names = [name for name in at.files.list(uids) if UID_FILE_NAME.fullmatch(name)]
    may_be_written_to = names[-1:] if at.is_served() is not False else []
    for name in names:
        subject = f"{uids.name}/{name}"
        try:
            content = at.files.read(uids / name)
        except FileNotFoundError:  # a running server drops the oldest
            continue
        except OSError as error:
            yield UIDS_DAMAGED.of(subject, f"can't be read ({error.strerror})")
            continue
        unread = unread_bytes(content)
        if unread.damaged:
            yield UIDS_DAMAGED.of(subject, f"{unread.damaged} of {len(content)} bytes can't be read")
        if unread.torn and name not in may_be_written_to:
            yield UIDS_TORN.of(subject, f"{unread.torn} of {len(content)} bytes")
    yield Fact("files of known uids", len(names))


def _made(at: DataAtHand) -> Sequence[str]:
    """The keys that the version whose state this is has made; the next start makes the others, which nobody lacks."""
    try:
        is_earlier = at.state.schema() < _PROVING_SCHEMA
    except StateFault:
        is_earlier = False
    return [name for name in KEPT_SECRETS if not (is_earlier and name == RECORDS_KEY)]
