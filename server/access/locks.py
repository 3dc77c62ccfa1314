"""Locks as administrators create, list and delete them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from server.access.lock_table import LockStore, LockTable, names_of
from server.audit_log.access import Access, caller_members
from server.errors import FailedPrecondition, NotFound, ResourceExhausted, Unavailable
from server.service_events import LOCK_CREATED, LOCK_DELETED
from server.state.database import StateFault
from server.state.locks import Creator, Lock, LockTarget, TooManyLocks

__all__ = ["Creator", "Lock", "LockRequest", "LockTarget", "Locks"]

RETRY_SECONDS = 60.0
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class LockRequest:
    """A lock that is asked for, its values checked."""

    target: LockTarget
    name: str
    reason: str
    expires_ms: int | None
    force: bool = False


class Locks:
    """Changes locks and their table. `changed` is called on the loop when a change is in force in this process."""

    def __init__(
        self, store: LockStore, table: LockTable, now_ms: Callable[[], int], changed: Callable[[], None]
    ) -> None:
        self._store = store
        self._table = table
        self._now_ms = now_ms
        self._changed = changed

    async def add(self, access: Access, request: LockRequest) -> Lock:
        """Create a lock. When this returns it is durable, and in force in this process.

        Raises:
            FailedPrecondition: it would bar the caller, and isn't forced.
            ResourceExhausted: there are too many locks.
            Unavailable: it isn't created, or not known to be.
        """
        who = access.identity
        if (request.target, request.name) in names_of(who) and not request.force:
            raise FailedPrecondition("the lock would bar the caller itself", reason="LOCK_HITS_CALLER")
        creator = Creator(who.kind.value, who.name, who.trust_anchor, who.certificate_serial, who.token_id)
        lock = Lock(
            str(uuid.uuid4()),
            request.target,
            request.name,
            request.reason,
            creator,
            self._now_ms(),
            request.expires_ms,
        )
        event = _event(LOCK_CREATED, access, {"lock": _told(lock), "forced": request.force})
        try:
            await self._change(lambda: self._store.add(lock, event))
        except TooManyLocks:
            message = "as many locks are in force as the service keeps; delete some first"
            raise ResourceExhausted(message, reason="TOO_MANY_LOCKS", retry_after=RETRY_SECONDS) from None
        return lock

    async def remove(self, access: Access, lock_id: str) -> None:
        """Delete a lock. When this returns it has ended, durably, in this process.

        Raises:
            NotFound: no such lock is in force.
            Unavailable: it isn't deleted, or not known to be.
        """
        known = next((_told(lock) for lock in self._table.in_force() if lock.id == lock_id), {"id": lock_id})
        event = _event(LOCK_DELETED, access, {"lock": known})
        if not await self._change(lambda: self._store.remove(lock_id, self._now_ms(), event)):
            raise NotFound("no such lock is in force", resource_type="lock", resource_name=lock_id)

    def in_force(self) -> list[Lock]:
        """The locks in force, oldest first."""
        return self._table.in_force()

    async def _change(self, change: Callable[[], Answer]) -> Answer:
        try:
            answer = await asyncio.get_running_loop().run_in_executor(None, self._change_now, change)
        except StateFault:
            raise Unavailable("the state database can't do it now", reason="STATE_UNAVAILABLE") from None
        self._changed()
        return answer

    def _change_now(self, change: Callable[[], Answer]) -> Answer:
        answer = change()
        self._table.refresh()
        return answer


def _event(kind: str, access: Access, members: dict[str, object]) -> dict[str, object]:
    return {"event": kind, **caller_members(access), **members}


def _told(lock: Lock) -> dict[str, object]:
    return {
        "id": lock.id,
        "target": lock.target.value,
        "name": lock.name,
        "reason": lock.reason,
        "expires_ms": lock.expires_ms,
    }
