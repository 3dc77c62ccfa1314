"""The calls about external audit storages: requests from arguments, and answers read."""

from __future__ import annotations

from extaudit.v1 import external_audit_storage_service_pb2 as pb

from extaudit_client.calling import Call
from extaudit_client.infrastructure import InfrastructurePlan, RolePolicyPlan, plan_from
from extaudit_client.names import STORAGE_STAGES, value_of


def iam_policy(stage: str, role_arn: str, *, without_kms: bool) -> Call[RolePolicyPlan]:
    """The policy that the integration's role needs, or another one of the same account."""
    request = pb.GetIamPolicyRequest(role_arn=role_arn, without_kms=without_kms)
    request.stage = value_of(stage, STORAGE_STAGES)  # type: ignore[assignment]  # plain numbers when they run
    return Call(
        lambda stubs: stubs.storages.GetIamPolicy,
        request,
        lambda answer: RolePolicyPlan(answer.role_arn, answer.policy_name, answer.policy),
    )


def infrastructure(stage: str) -> Call[InfrastructurePlan]:
    """All that must be there in AWS."""
    request = pb.PlanInfrastructureRequest()
    request.stage = value_of(stage, STORAGE_STAGES)  # type: ignore[assignment]  # plain numbers when they run
    return Call(
        lambda stubs: stubs.storages.PlanInfrastructure,
        request,
        lambda answer: plan_from(answer.plan, answer.revision),
    )
