"""All checks of a data directory, in the order in which they are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from server.doctor import certificates, disk, event_objects, file_modes, state_database
from server.doctor.data_at_hand import DataAtHand
from server.doctor.findings import Fault, Told


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `name` is stable: `--check` takes it."""

    name: str
    what: str
    """One sentence."""
    faults: tuple[Fault, ...]
    """Everything it can find."""
    make: Callable[[DataAtHand], Told]


LOCAL_CHECKS: Final = (
    Check("files", "Modes and owners of what others must not read.", file_modes.FAULTS, file_modes.check),
    Check("state", "Whether the state database can be read and is whole.", state_database.FAULTS, state_database.check),
    Check(
        "certificates",
        "The server's certificate, the trusted CAs and the issued certificates: whether they load, and when they end.",
        certificates.FAULTS,
        certificates.check,
    ),
    Check("disk", "Room on the disk, and how many days it lasts.", disk.FAULTS, disk.check),
    Check(
        "storage",
        "The catalogue against the objects of events: what is missing, changed or not known.",
        event_objects.FAULTS,
        event_objects.check,
    ),
)
