"""The calls about external audit storages: requests from arguments, and answers read."""

from __future__ import annotations

from extaudit.v1 import external_audit_storage_service_pb2 as pb

from extaudit_client.calling import Call
from extaudit_client.diversions import Diversion, diversion_from
from extaudit_client.infrastructure import InfrastructurePlan, RolePolicyPlan, plan_from
from extaudit_client.names import stage_value
from extaudit_client.paging import Listed
from extaudit_client.storage_rows import (
    ExternalAuditStorage,
    Promotion,
    StorageOptions,
    StorageSpec,
    options_message,
    promotion_from,
    spec_message,
    storage_from,
)


def generate(
    integration_name: str, region: str, options: StorageOptions | None, description: str
) -> Call[ExternalAuditStorage]:
    """Make a draft whose names nobody has."""
    request = pb.GenerateDraftRequest(integration_name=integration_name, region=region, description=description)
    request.options.CopyFrom(options_message(options or StorageOptions()))
    # Tried again it would be refused by what the first try made.
    return Call(lambda stubs: stubs.storages.GenerateDraft, request, _draft, repeatable=False)


def create(spec: StorageSpec, options: StorageOptions | None, description: str) -> Call[ExternalAuditStorage]:
    """Make a draft of given names."""
    request = pb.CreateDraftRequest(spec=spec_message(spec), description=description)
    request.options.CopyFrom(options_message(options or StorageOptions()))
    return Call(lambda stubs: stubs.storages.CreateDraft, request, _draft, repeatable=False)


def upsert(
    spec: StorageSpec, options: StorageOptions | None, description: str, revision: str
) -> Call[ExternalAuditStorage]:
    """Make the draft so, from a revision."""
    request = pb.UpsertDraftRequest(spec=spec_message(spec), description=description, revision=revision)
    request.options.CopyFrom(options_message(options or StorageOptions()))
    return Call(lambda stubs: stubs.storages.UpsertDraft, request, _draft, repeatable=False)


def draft() -> Call[ExternalAuditStorage]:
    """The draft."""
    return Call(lambda stubs: stubs.storages.GetDraft, pb.GetDraftRequest(), _draft)


def cluster() -> Call[ExternalAuditStorage]:
    """The storage in force."""
    return Call(lambda stubs: stubs.storages.GetCluster, pb.GetClusterRequest(), _cluster)


def delete_draft(revision: str) -> Call[None]:
    """Delete the draft."""
    request = pb.DeleteDraftRequest(revision=revision)
    return Call(lambda stubs: stubs.storages.DeleteDraft, request, lambda _: None, repeatable=False)


def promote(revision: str, reason: str, *, force: bool) -> Call[ExternalAuditStorage]:
    """Have the draft come into force."""
    request = pb.PromoteToClusterRequest(revision=revision, force=force, reason=reason)
    return Call(lambda stubs: stubs.storages.PromoteToCluster, request, _cluster, repeatable=False)


def disable(revision: str, reason: str) -> Call[None]:
    """Go back to the default storage."""
    request = pb.DisableClusterRequest(revision=revision, reason=reason)
    return Call(lambda stubs: stubs.storages.DisableCluster, request, lambda _: None, repeatable=False)


def divert(storage_id: str, to: str, reason: str, *, validate_only: bool) -> Call[Diversion]:
    """Take what waits for a storage to another one, or tell what that is."""
    request = pb.DivertStorageRequest(storage_id=storage_id, to=to, reason=reason, validate_only=validate_only)
    # Tried again, what was done would be told as nothing.
    return Call(lambda stubs: stubs.storages.DivertStorage, request, diversion_from, repeatable=validate_only)


def promotions(page_token: str) -> Call[Listed[Promotion]]:
    """A page of the history."""
    return Call(
        lambda stubs: stubs.storages.ListPromotions,
        pb.ListPromotionsRequest(page_token=page_token),
        lambda answer: Listed(tuple(promotion_from(each) for each in answer.promotions), answer.next_page_token),
    )


def iam_policy(stage: str, role_arn: str, *, without_kms: bool) -> Call[RolePolicyPlan]:
    """The policy that the integration's role needs, or another one of the same account."""
    return Call(
        lambda stubs: stubs.storages.GetIamPolicy,
        pb.GetIamPolicyRequest(stage=stage_value(stage), role_arn=role_arn, without_kms=without_kms),
        lambda answer: RolePolicyPlan(answer.role_arn, answer.policy_name, answer.policy),
    )


def infrastructure(stage: str) -> Call[InfrastructurePlan]:
    """All that must be there in AWS."""
    return Call(
        lambda stubs: stubs.storages.PlanInfrastructure,
        pb.PlanInfrastructureRequest(stage=stage_value(stage)),
        lambda answer: plan_from(answer.plan, answer.revision),
    )


def _draft(answer: pb.GetDraftResponse) -> ExternalAuditStorage:
    return storage_from(answer.draft)


def _cluster(answer: pb.GetClusterResponse) -> ExternalAuditStorage:
    return storage_from(answer.cluster)
