"""What the scrub found wrong with stored objects, and how far its walk is, kept in the state database."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Engine, delete, insert, select, update

from server.service_events import STORAGE_DAMAGED
from server.state import outbox
from server.state.database import writing
from server.state.tables import scrub_walk, storage_damage

MISSING = "missing"
CHANGED = "changed"
UNLISTED = "unlisted"
UNREADABLE = "unreadable"
KINDS = (MISSING, CHANGED, UNLISTED, UNREADABLE)
RECORDINGS = "recordings/"
"""So names of recordings begin."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One object that isn't as it should be."""

    storage: str
    name: str
    """As the storage has it; a batch record's begins with `_batches/`, a recording's with `recordings/`."""
    kind: str
    """One of KINDS."""
    detail: str
    found_ms: int


@dataclass(frozen=True, slots=True)
class Walk:
    """How far a walk through a storage is."""

    position: str = ""
    """The name that was checked last, in the order of names; '' before the first."""
    begun_ms: int = 0
    """When this walk began; 0 if none has."""
    passed_ms: int | None = None
    """When a walk last came to its end."""


class SqlStorageDamage:
    """On an engine of `open_database`. Every method raises StateFault when it can't be done now."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def walk(self) -> Walk:
        """How far the walk is."""
        with self._engine.connect() as connection:
            row = connection.execute(select(scrub_walk)).one_or_none()
        return Walk() if row is None else Walk(row.position, row.begun_ms, row.passed_ms)

    def keep_walk(self, walk: Walk) -> None:
        """Keep how far it is, durably."""
        with writing(self._engine).begin() as connection:
            if not connection.execute(update(scrub_walk).values(**asdict(walk))).rowcount:
                connection.execute(insert(scrub_walk).values(id=1, **asdict(walk)))

    def all(self) -> list[Damage]:
        """Everything that was found and isn't mended."""
        columns = storage_damage.c
        order = (columns.storage, columns.name)
        with self._engine.connect() as connection:
            return [Damage(*row) for row in connection.execute(select(storage_damage).order_by(*order))]

    def found(self, damage: Damage) -> None:
        """Keep a finding with its audit event, in one transaction; it replaces what was known of the object."""
        event = {
            "event": STORAGE_DAMAGED,
            "storage": damage.storage,
            "object": damage.name,
            "kind": damage.kind,
            "detail": damage.detail,
        }
        with writing(self._engine).begin() as connection:
            _forget(connection, damage)
            connection.execute(insert(storage_damage).values(**asdict(damage)))
            outbox.add(connection, event)

    def mended(self, damage: Damage) -> None:
        """Forget a finding: the object is right again, or gone where it wasn't to be."""
        with writing(self._engine).begin() as connection:
            _forget(connection, damage)


def is_recording(name: str) -> bool:
    """Whether what has this name is a recording, and no object of events."""
    return name.startswith(RECORDINGS)


def _forget(connection: Connection, damage: Damage) -> None:
    columns = storage_damage.c
    connection.execute(delete(storage_damage).where(columns.storage == damage.storage, columns.name == damage.name))
