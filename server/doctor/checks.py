"""All checks of a data directory, in the order in which they are made."""

from __future__ import annotations

from typing import Final

from server.doctor import (
    batch_records,
    certificates,
    clock,
    configuration,
    disk,
    event_objects,
    file_modes,
    identity_provider,
    journal,
    kept_keys,
    roles,
    scrub,
    session_recordings,
    state_database,
    stores,
    tokens,
)
from server.doctor.check import Check
from server.doctor.data_at_hand import DataAtHand

LOCAL_CHECKS: Final[tuple[Check[DataAtHand], ...]] = (
    Check("configuration", "Whether every setting is right.", configuration.FAULTS, configuration.check),
    Check("files", "Modes and owners of what others must not read.", file_modes.FAULTS, file_modes.check),
    Check("state", "Whether the state database can be read and is whole.", state_database.FAULTS, state_database.check),
    Check(
        "certificates",
        "The server's certificate, the trusted CAs and the issued certificates: whether they load, and when they end.",
        certificates.FAULTS,
        certificates.check,
    ),
    Check("keys", "The keys and known uids that the service keeps.", kept_keys.FAULTS, kept_keys.check),
    Check("roles", "The files of roles, and what the loaded roles give.", roles.FAULTS, roles.check),
    Check("tokens", "Whether the keys of token issuers can be had.", tokens.FAULTS, tokens.check),
    Check(
        "issuer",
        "The service's own issuer: its signing keys, their wrapping key, and what is published.",
        identity_provider.FAULTS,
        identity_provider.check,
    ),
    Check("store", "What the store that takes the place of S3 is said not to do.", stores.FAULTS, stores.check),
    Check("clock", "The clock against what was stored last.", clock.FAULTS, clock.check),
    Check("disk", "Room on the disk, and how many days it lasts.", disk.FAULTS, disk.check),
    Check("journal", "Journal and spool: damage, age, size, and what is left over.", journal.FAULTS, journal.check),
    Check(
        "storage",
        "The catalogue against the objects of events: what is missing, changed or not known.",
        event_objects.FAULTS,
        event_objects.check,
    ),
    Check(
        "records",
        "The batch records, which say who emitted what: missing, changed, unknown, or no chain.",
        batch_records.FAULTS,
        batch_records.check,
    ),
    Check("scrub", "What the walk in the background found, and whether it keeps up.", scrub.FAULTS, scrub.check),
    Check(
        "recordings",
        "Recordings against their custody records, and uploads that are left open.",
        session_recordings.FAULTS,
        session_recordings.check,
    ),
)
