"""The locks in memory, so that no call waits for the database to learn whether it is barred."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rbac.identities import Identity, IdentityKind
from server.state.locks import Lock, LockTarget

Ends = Mapping[str, float]
"""From a name to when the last lock on it ends, in ms since 1970; infinite where one never does."""


class LockStore(Protocol):
    """The durable record of locks."""

    def add(self, lock: Lock, event: dict[str, object]) -> None:
        """Add a lock and the event that tells of it, durably."""
        ...

    def remove(self, lock_id: str, now_ms: int, event: dict[str, object]) -> bool:
        """Remove a lock in force and add the event that tells of it, durably; False where there is none."""
        ...

    def read(self, known_revision: int) -> tuple[int, list[Lock]] | None:
        """The revision and all locks, sorted by time of creation and id; None where the revision is the known one."""
        ...


class LockTable:
    """The locks as of the last `refresh`. Safe to use from several threads; only `refresh` blocks.

    Other processes may change the record, so it is refreshed again and again.
    """

    def __init__(self, store: LockStore, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now_ms = now_ms
        self._refreshing = threading.Lock()
        self._revision = -1
        self._locks: Sequence[Lock] = ()
        self._barred: _Barred | None = None

    def refresh(self) -> bool:
        """Read the record if it has changed; says whether it had. On an error the table keeps what it had."""
        # One at a time: a refresh that read before a change must not end after one that read it.
        with self._refreshing:
            found = self._store.read(self._revision)
            if found is None:
                return False
            self._revision, self._locks = found
            self._barred = _Barred.by(self._locks) if self._locks else None
            return True

    def bars(self, identity: Identity) -> bool:
        """Tell whether a lock is on the identity now; asked for every call and every message of a stream."""
        barred = self._barred
        if barred is None:
            return False
        end = barred.end(identity)
        return end > 0 and end > self._now_ms()

    def in_force(self) -> list[Lock]:
        """The locks that are in force now, sorted by time of creation and id."""
        now = self._now_ms()
        return [lock for lock in self._locks if lock.expires_ms is None or lock.expires_ms > now]


def names_of(identity: Identity) -> list[tuple[LockTarget, str]]:
    """Everything that a lock may name of an identity."""
    is_user = identity.kind is IdentityKind.USER
    names = [
        (LockTarget.USER if is_user else LockTarget.COMPONENT, identity.name),
        (LockTarget.CERTIFICATE_SERIAL, identity.certificate_serial),
        (LockTarget.TOKEN_ID, identity.token_id),
        *((LockTarget.ROLE, role) for role in identity.roles),
    ]
    return [(target, name) for target, name in names if name]


@dataclass(frozen=True, slots=True)
class _Barred:
    """Names by target, in a form that is quick to ask."""

    users: Ends
    components: Ends
    roles: Ends
    serials: Ends
    tokens: Ends

    @classmethod
    def by(cls, locks: Sequence[Lock]) -> _Barred:
        found: dict[LockTarget, dict[str, float]] = {target: {} for target in LockTarget}
        for lock in locks:
            ends = found[lock.target]
            end = math.inf if lock.expires_ms is None else lock.expires_ms
            ends[lock.name] = max(end, ends.get(lock.name, 0))
        return cls(
            found[LockTarget.USER],
            found[LockTarget.COMPONENT],
            found[LockTarget.ROLE],
            found[LockTarget.CERTIFICATE_SERIAL],
            found[LockTarget.TOKEN_ID],
        )

    def end(self, identity: Identity) -> float:
        """When the last of the locks on an identity ends, in ms since 1970; 0 where none is."""
        names = self.users if identity.kind is IdentityKind.USER else self.components
        end = max(
            names.get(identity.name, 0),
            self.serials.get(identity.certificate_serial, 0),
            self.tokens.get(identity.token_id, 0),
        )
        roles = self.roles
        return max([end, *(roles.get(role, 0) for role in identity.roles)]) if roles else end
