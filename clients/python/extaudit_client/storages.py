"""The part of the client that deals with External Audit Storage."""

from __future__ import annotations

from extaudit_client import storage_calls
from extaudit_client.calling import Caller
from extaudit_client.infrastructure import InfrastructurePlan, RolePolicyPlan


class Storages:
    """Sets External Audit Storage up; got from Client.storages. Every method raises as the client's.

    `stage` is `draft` or `cluster`, which is the storage in force; where there is none of it, NotFound.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def iam_policy(self, stage: str = "draft", role_arn: str = "", *, without_kms: bool = False) -> RolePolicyPlan:
        """Give the policy that the integration's role needs, or another one of the same account."""
        return self._caller.run(storage_calls.iam_policy(stage, role_arn, without_kms=without_kms))

    def infrastructure(self, stage: str = "draft") -> InfrastructurePlan:
        """Give the plan of all that must be there in AWS; nothing is asked of AWS, and nothing changed there."""
        return self._caller.run(storage_calls.infrastructure(stage))
