"""What stands in the way of deleting an integration, or of giving it another role: pure rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from server.errors import Aborted, FailedPrecondition
from server.external_storage.storage import TEST_COUNTS_MS
from server.integrations.integration import RoleArn
from server.state.external_storages import ConnectionTestRow
from server.state.integrations import Found

_USERS: Final = {
    "draft": "the draft of an external audit storage names it",
    "cluster": "the external audit storage in force names it",
    "deliveries": "events still have to be delivered to a storage that is reached by it",
    "uploads": "recordings are still being uploaded to a storage that is reached by it",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A change of the role, as it is asked for."""

    role: RoleArn
    forced: bool
    now_ms: int


def refuse_stale(found: Found, revision: str) -> None:
    """Raise Aborted where `revision` isn't the integration's now; '' stands for any."""
    if revision and revision != found.row.revision:
        text = "the integration has changed since that revision; read it again and decide anew"
        raise Aborted(text, integration=found.row.name)


def refuse_in_use(found: Found, undelivered: frozenset[str]) -> None:
    """Raise FailedPrecondition where something still needs the integration."""
    if users := tuple(users_of(found, undelivered)):
        raise _in_use(users, "; ".join(_USERS[user] for user in users))


def users_of(found: Found, undelivered: frozenset[str]) -> Iterator[str]:
    """What needs the integration, as `used_by` names it. `undelivered`: storages with batches to be delivered."""
    if found.draft:
        yield "draft"
    if found.cluster is not None:
        yield "cluster"
    if found.storages & undelivered:
        yield "deliveries"
    if found.uploading:
        yield "uploads"


def deciding_test(found: Found, asked: Asked, undelivered: frozenset[str]) -> ConnectionTestRow | None:
    """The test that allows another role; None where none is needed, or the change is forced without one.

    Raises:
        FailedPrecondition: what is reached by the integration would be another storage, in another account
            (INTEGRATION_IN_USE); or no test of the storage in force passed with the new role (TEST_NOT_PASSED).
    """
    _refuse_other_account(found, asked.role, undelivered)
    if found.cluster is None:
        return None
    test = found.cluster.test
    if test is not None and test.passed and asked.now_ms - TEST_COUNTS_MS <= test.tested_ms:
        return test
    if asked.forced:
        return None
    text = "the external audit storage in force is reached by it, and no connection test passed with the new role"
    raise FailedPrecondition(f"{text} within the last hour; run one, or force it", reason="TEST_NOT_PASSED")


def _refuse_other_account(found: Found, role: RoleArn, undelivered: frozenset[str]) -> None:
    before = RoleArn.parse(found.row.role_arn)
    if before is not None and (before.partition, before.account_id) == (role.partition, role.account_id):
        return
    users = tuple(user for user in users_of(found, undelivered) if user != "draft")
    if users:
        reasons = "; ".join(_USERS[user] for user in users)
        raise _in_use(users, f"{reasons}, and a role of another account would reach another storage")


def _in_use(users: tuple[str, ...], text: str) -> FailedPrecondition:
    return FailedPrecondition(text, reason="INTEGRATION_IN_USE", used_by=",".join(users))
