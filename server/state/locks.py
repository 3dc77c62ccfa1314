"""Locks, kept in the state database."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, Engine, RowMapping, delete, func, insert, or_, select, update

from server.state.database import writing
from server.state.outbox import add as add_to_outbox
from server.state.tables import lock_changes, locks


class LockTarget(enum.Enum):
    """What of an identity a lock names."""

    USER = "user"
    COMPONENT = "component"
    ROLE = "role"
    CERTIFICATE_SERIAL = "certificate_serial"
    TOKEN_ID = "token_id"  # noqa: S105 -- the name of a claim


class Creator(NamedTuple):
    """The identity that created a lock; `kind` is a value of IdentityKind."""

    kind: str
    name: str
    trust_anchor: str
    certificate_serial: str
    token_id: str


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock. Times are ms since 1970."""

    id: str
    target: LockTarget
    name: str
    """The name, id or serial (lower-case hex without leading zeros) that it bars."""
    reason: str
    creator: Creator
    created_ms: int
    expires_ms: int | None
    """When it ends; None for one that holds until it is deleted."""


class TooManyLocks(Exception):
    """As many locks as may be are in force; nothing was added."""


class SqlLocks:
    """The locks on an engine of `open_database`. Safe to use from several threads.

    Every change counts `revision` up and puts an event into the outbox, all in one transaction.
    """

    def __init__(self, engine: Engine, limit: int = 10_000) -> None:
        self._engine = engine
        self._limit = limit

    def add(self, lock: Lock, event: dict[str, object]) -> None:
        """Add a lock; it is durable when this returns. Locks that had ended when it was created are forgotten.

        Raises:
            TooManyLocks: `limit` locks are in force.
            StateFault: it isn't added.
        """
        with writing(self._engine).begin() as connection:
            connection.execute(delete(locks).where(locks.c.expires_ms <= lock.created_ms))
            if connection.execute(select(func.count()).select_from(locks)).scalar_one() >= self._limit:
                raise TooManyLocks
            connection.execute(insert(locks).values(_row(lock)))
            _tell(connection, event)

    def remove(self, lock_id: str, now_ms: int, event: dict[str, object]) -> bool:
        """Remove a lock that is in force at `now_ms`, durably; False where there is none.

        Raises:
            StateFault: it isn't removed.
        """
        in_force = or_(locks.c.expires_ms.is_(None), locks.c.expires_ms > now_ms)
        with writing(self._engine).begin() as connection:
            if not connection.execute(delete(locks).where(locks.c.id == lock_id, in_force)).rowcount:
                return False
            _tell(connection, event)
            return True

    def read(self, known_revision: int) -> tuple[int, list[Lock]] | None:
        """The revision and all locks, sorted by time of creation and id; None where the revision is known."""
        with self._engine.connect() as connection:
            revision = connection.execute(select(lock_changes.c.revision)).scalar_one()
            if revision == known_revision:
                return None
            rows = connection.execute(select(locks).order_by(locks.c.created_ms, locks.c.id)).mappings()
            return revision, [_lock(row) for row in rows]


def _tell(connection: Connection, event: dict[str, object]) -> None:
    connection.execute(update(lock_changes).values(revision=lock_changes.c.revision + 1))
    add_to_outbox(connection, event)


def _row(lock: Lock) -> dict[str, object]:
    return {
        "id": lock.id,
        "target": lock.target.value,
        "name": lock.name,
        "reason": lock.reason,
        "creator": json.dumps(lock.creator, ensure_ascii=False),
        "created_ms": lock.created_ms,
        "expires_ms": lock.expires_ms,
    }


def _lock(row: RowMapping) -> Lock:
    creator = Creator(*json.loads(row["creator"]))
    target = LockTarget(row["target"])
    return Lock(row["id"], target, row["name"], row["reason"], creator, row["created_ms"], row["expires_ms"])
