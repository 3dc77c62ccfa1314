"""As `storages`, for asyncio."""

from __future__ import annotations

from extaudit_client import storage_calls
from extaudit_client.calling import Caller
from extaudit_client.infrastructure import InfrastructurePlan, RolePolicyPlan


class AsyncStorages:
    """Sets External Audit Storage up; got from AsyncClient.storages. `Storages` says what each method does."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def iam_policy(
        self, stage: str = "draft", role_arn: str = "", *, without_kms: bool = False
    ) -> RolePolicyPlan:
        """Give the policy that a role needs."""
        return await self._caller.run_async(storage_calls.iam_policy(stage, role_arn, without_kms=without_kms))

    async def infrastructure(self, stage: str = "draft") -> InfrastructurePlan:
        """Give the plan of all that must be there in AWS."""
        return await self._caller.run_async(storage_calls.infrastructure(stage))
