"""Integrations as administrators create, change and delete them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from server.audit_log.access import Access, caller_members, identity_text
from server.errors import AlreadyExists, NotFound, PermissionDenied
from server.external_storage.kept import test_of, test_text
from server.integrations.integration import Integration, RoleArn
from server.integrations.uses import Asked, deciding_test, refuse_in_use, refuse_stale
from server.service_events import INTEGRATION_CREATED, INTEGRATION_DELETED, INTEGRATION_UPDATED
from server.state.asking import in_state
from server.state.integrations import Event, Found, IntegrationRow, RoleChange

SUB_KIND: Final = "aws-oidc"
MAY_NOT_CHANGE_ROLE: Final = "the role would change, or there is no such integration"
"""What the audit event of a refusal says."""
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class IntegrationUpdate:
    """What an integration shall be, its values checked."""

    name: str
    role_arn: RoleArn
    revision: str
    """The one that the change is made from."""
    may_change_role: bool
    """Whether the caller may change the role."""
    force: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class IntegrationPage:
    """Some integrations, sorted by name, and how many there are in all."""

    integrations: list[Integration]
    total: int


class IntegrationStore(Protocol):
    """Where integrations are kept; see server.state.integrations.SqlIntegrations."""

    def add(self, row: IntegrationRow, event: Event) -> bool:
        """Add one; False where there is one of that name."""
        ...

    def get(self, name: str) -> IntegrationRow | None:
        """One of them."""
        ...

    def page(self, after: str, limit: int) -> tuple[list[IntegrationRow], int]:
        """Those whose names come after `after`, at most `limit`; and how many there are."""
        ...

    def change(
        self, name: str, role_arn: str, now_ms: int, decide: Callable[[Found | None], RoleChange | None]
    ) -> IntegrationRow | None:
        """Have `decide` say how one changes."""
        ...

    def remove(self, name: str, decide: Callable[[Found | None], Event]) -> None:
        """Have `decide` say whether one may go."""
        ...


class Integrations:
    """Changes integrations. `undelivered` gives the ids of the storages that batches are still to be delivered to, the
    one that takes new events among them; it is asked on a thread, inside a transaction of the state."""

    def __init__(
        self, store: IntegrationStore, undelivered: Callable[[], frozenset[str]], now_ms: Callable[[], int]
    ) -> None:
        self._store = store
        self._undelivered = undelivered
        self._now_ms = now_ms

    async def create(self, access: Access, name: str, role_arn: RoleArn) -> Integration:
        """Create an integration; it is durable when this returns.

        Raises:
            AlreadyExists: there is one of that name.
            Unavailable: it isn't created, or not known to be.
        """
        now = self._now_ms()
        row = IntegrationRow(name, str(role_arn), str(uuid.uuid4()), now, now, identity_text(access))
        event = _event(INTEGRATION_CREATED, access, name, role_arn)
        if not await in_state(lambda: self._store.add(row, event)):
            text = "there is an integration of that name"
            raise AlreadyExists(text, resource_type="integration", resource_name=name)
        return _integration(row)

    async def get(self, name: str) -> Integration:
        """An integration.

        Raises:
            NotFound: there is none of that name.
        """
        row = await in_state(lambda: self._store.get(name))
        if row is None:
            raise _absent(name)
        return _integration(row)

    async def page(self, after: str, limit: int) -> IntegrationPage:
        """The first integrations whose names come after `after`, at most `limit`."""
        rows, total = await in_state(lambda: self._store.page(after, limit))
        return IntegrationPage([_integration(row) for row in rows], total)

    async def update(self, access: Access, asked: IntegrationUpdate) -> Integration:
        """Change an integration; what changes nothing succeeds, and leaves its revision.

        Raises:
            PermissionDenied: the role would change, and the caller may not; as much is said where there is none.
            NotFound, Aborted: there is none of that name; it isn't of that revision.
            FailedPrecondition: it is in use, or no connection test passed; see `deciding_test`.
            Unavailable: it isn't changed, or not known to be.
        """
        now, role = self._now_ms(), str(asked.role_arn)
        row = await in_state(
            lambda: self._store.change(asked.name, role, now, lambda found: self._change(access, asked, now, found))
        )
        if row is None:
            raise _absent(asked.name)
        return _integration(row)

    async def delete(self, access: Access, name: str, revision: str) -> None:
        """Delete an integration of this revision, '' for any.

        Raises:
            NotFound, Aborted: there is none of that name; it isn't of that revision.
            FailedPrecondition: it is in use.
            Unavailable: it isn't deleted, or not known to be.
        """

        def decide(found: Found | None) -> Event:
            if found is None:
                raise _absent(name)
            refuse_stale(found, revision)
            refuse_in_use(found, self._undelivered())
            return _event(INTEGRATION_DELETED, access, name, _role(found.row))

        await in_state(lambda: self._store.remove(name, decide))

    def _change(self, access: Access, asked: IntegrationUpdate, now: int, found: Found | None) -> RoleChange | None:
        if not asked.may_change_role and (found is None or found.row.role_arn != str(asked.role_arn)):
            # The same whether there is one or not, so that nobody finds out.
            why = "there is no such integration" if found is None else "the role would change"
            needed = {"kind": "external_audit_storage", "verb": "update"}
            raise PermissionDenied("access denied", hidden=MAY_NOT_CHANGE_ROLE, for_log=why, **needed)
        if found is None:
            return None
        refuse_stale(found, asked.revision)
        if found.row.role_arn == str(asked.role_arn):
            return None
        test = deciding_test(found, Asked(asked.role_arn, asked.force, now), self._undelivered())
        forced = asked.force and found.cluster is not None and test is None
        told = {
            "previous_role_arn": found.row.role_arn,
            "storage": found.cluster.storage_id if found.cluster else "",
            "forced": forced,
            "reason": asked.reason,
        }
        event = _event(INTEGRATION_UPDATED, access, asked.name, asked.role_arn) | told
        kept = test_text(test_of(test)) if test is not None else None
        return RoleChange(
            str(asked.role_arn), str(uuid.uuid4()), now, identity_text(access), event, kept, forced, asked.reason
        )


def _integration(row: IntegrationRow) -> Integration:
    return Integration(row.name, _role(row), row.revision, row.created_ms, row.updated_ms, row.creator)


def _role(row: IntegrationRow) -> RoleArn:
    role = RoleArn.parse(row.role_arn)
    if role is None:
        raise ValueError("the state has an integration whose role is none")
    return role


def _absent(name: str) -> NotFound:
    return NotFound("there is no integration of that name", resource_type="integration", resource_name=name)


def _event(kind: str, access: Access, name: str, role: RoleArn) -> Event:
    about = {"name": name, "sub_kind": SUB_KIND, "aws_oidc": {"role_arn": str(role)}}
    return {"event": kind, **caller_members(access), **about}
