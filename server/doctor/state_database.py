"""The state database: whether it can be read and is whole."""

from __future__ import annotations

import os
from typing import Final

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
    "Start the server once, or: " + _RESTORE,
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
    name = at.directory.state.name
    if not os.path.exists(at.directory.state):
        yield MISSING.of(name)
        return
    try:
        schema = at.state.schema()
    except StateFault:
        yield UNREADABLE.of(name, "it isn't a database, is locked, or may not be read by this account")
        return
    if schema == 0:
        yield MISSING.of(name, "the file is there and has nothing in it")
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
