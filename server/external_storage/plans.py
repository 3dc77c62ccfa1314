"""The policy and the infrastructure of the draft, or of the storage in force, as those who set it up ask for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from server.errors import InvalidRequest, Violation
from server.external_storage.drafts import none_of, role_of
from server.external_storage.iam_policy import iam_policy, policy_text
from server.external_storage.infrastructure import InfrastructurePlan, RolePolicyPlan
from server.external_storage.kept import storage_in
from server.external_storage.placement import check_account, fits
from server.external_storage.planning import infrastructure_plan
from server.external_storage.regions import partition_of
from server.external_storage.storage import ExternalStorage, Stage
from server.integrations.integration import RoleArn
from server.state.asking import in_state
from server.state.external_storages import SqlExternalStorages


@dataclass(frozen=True, slots=True)
class PlannedStorage:
    """A plan, and the revision of the draft or storage that it is of."""

    plan: InfrastructurePlan
    revision: str


class Plans:
    """Plans of what the state keeps. Nothing is asked of AWS."""

    def __init__(self, store: SqlExternalStorages, cluster_name: str, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._cluster_name = cluster_name
        self._now_ms = now_ms

    async def role_policy(
        self, stage: Stage, role: RoleArn | None = None, *, without_kms: bool = False
    ) -> RolePolicyPlan:
        """The policy for the integration's role, or for another one of the same account.

        Raises:
            NotFound: there is no storage of that stage.
            InvalidRequest: the role is of another account or partition.
            FailedPrecondition: the integration's role is (ACCOUNT_CHANGED).
            Unavailable: the state can't be read now.
        """
        storage, own = await self._read(stage)
        role = tried_role(role, own, storage)
        key = "" if without_kms else storage.options.kms_key_arn
        policy = iam_policy(storage.spec, role.partition, role.account_id, key)
        return RolePolicyPlan(str(role), storage.spec.policy_name, policy_text(policy))

    async def infrastructure(self, stage: Stage) -> PlannedStorage:
        """All that must be there. Raises as `role_policy` does."""
        storage, own = await self._read(stage)
        role = _own_role(own, storage)
        plan = infrastructure_plan(storage.spec, storage.options, role, self._cluster_name)
        return PlannedStorage(plan, storage.revision)

    async def _read(self, stage: Stage) -> tuple[ExternalStorage, RoleArn]:
        def read() -> tuple[ExternalStorage, RoleArn]:
            with self._store.reading() as view:
                storage = storage_in(view, stage, self._now_ms())
                if storage is None:
                    raise none_of(stage)
                return storage, role_of(view, storage.spec.integration_name)

        return await in_state(read)


def tried_role(role: RoleArn | None, own: RoleArn, storage: ExternalStorage) -> RoleArn:
    """The role that is asked for, or the integration's `own`; InvalidRequest or FailedPrecondition where it is of
    another account than the storage."""
    if role is None:
        return _own_role(own, storage)
    if not fits(role, storage):
        where = f"must be a role of account {storage.account_id} in the partition {partition_of(storage.spec.region)}"
        raise InvalidRequest([Violation("role_arn", f"{where}, where the storage is")])
    return role


def _own_role(role: RoleArn, storage: ExternalStorage) -> RoleArn:
    check_account(role, storage)
    return role
