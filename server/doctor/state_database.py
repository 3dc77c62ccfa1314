"""The state database: whether it can be read and is whole."""

from __future__ import annotations

import os
import shlex
from typing import Final

from server.certificates.claims import ADMINISTRATOR
from server.certificates.local_authority import ADMINISTRATOR_ROLES, identity_folder, is_begun
from server.doctor.data_at_hand import DataAtHand
from server.doctor.findings import Fact, Fault, Severity, Told
from server.state.database import StateFault
from server.state.examining import NEWEST_SCHEMA

_RESTORE = (
    "Stop the server and put state.db back from a copy. Catalogue, sessions and recordings are made anew from the "
    "storage at the start; issued certificates, locks and what waits in the outbox come from the copy alone."
)

MISSING: Final = Fault(
    "state_missing",
    Severity.ERROR,
    "There is no state database: issued certificates and locks are lost.",
    _RESTORE + " Only if there is no copy, start the server without it: every certificate that was issued is refused "
    "from then on, and every lock is gone for good. Remove admin.crt and admin.key in the folder identity, have the "
    "administrator's made anew, then the others', and set the locks again.",
)
UNREADABLE: Final = Fault("state_unreadable", Severity.ERROR, "The state database can't be read.", _RESTORE)
DAMAGED: Final = Fault("state_damaged", Severity.ERROR, "SQLite finds the state database damaged.", _RESTORE)
NEWER: Final = Fault(
    "state_newer",
    Severity.ERROR,
    "A later version of the service wrote the state database; this one doesn't start on it.",
    "Run the later version, or put back the whole data directory from a copy of before the upgrade.",
)
OLDER: Final = Fault(
    "state_older",
    Severity.NOTICE,
    "The state database is of an earlier version and is brought up to date by the next start.",
    "Copy the data directory, then start the server.",
)

FAULTS: Final = (MISSING, UNREADABLE, DAMAGED, NEWER, OLDER)


def check(at: DataAtHand) -> Told:
    """Look at the database as a whole."""
    remedy = _remedy_of_loss(at)
    name = at.directory.state.name
    if not os.path.exists(at.directory.state):
        yield MISSING.of(name, remedy=remedy)
        return
    try:
        schema = at.state.schema()
    except StateFault:
        yield UNREADABLE.of(name, "it isn't a database, is locked, or may not be read by this account")
        return
    if schema == 0:
        yield MISSING.of(name, "the file is there and has nothing in it", remedy=remedy)
        return
    yield Fact("schema", schema)
    try:
        for text in at.state.damage():
            yield DAMAGED.of(name, text)
    except StateFault:
        yield DAMAGED.of(name, "its pages can't be walked through")
    if schema > NEWEST_SCHEMA:
        yield NEWER.of(name, f"its schema is {schema}, and this version knows up to {NEWEST_SCHEMA}")
    elif schema < NEWEST_SCHEMA:
        yield OLDER.of(name, f"its schema is {schema}, the newest is {NEWEST_SCHEMA}")


def _remedy_of_loss(at: DataAtHand) -> str:
    """What to do, with the commands for this directory."""
    data_dir = at.directory.path.absolute()
    if not is_begun(data_dir):
        return "Start the server: it makes it."
    files = identity_folder(data_dir)
    remove = shlex.join(["rm", str(files.certificate(ADMINISTRATOR)), str(files.key(ADMINISTRATOR))])
    roles = [each for role in ADMINISTRATOR_ROLES for each in ("--role", role)]
    issue = shlex.join(["extaudit", "identity", "issue", ADMINISTRATOR, *roles, "--data-dir", str(data_dir)])
    return f"{MISSING.remedy} That is: `{remove}`, then `{issue}`."
