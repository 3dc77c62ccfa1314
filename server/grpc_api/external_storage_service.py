"""ExternalAuditStorageService: maps messages to use cases and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from extaudit.v1 import external_audit_storage_service_pb2 as pb

from server.errors import InvalidRequest, Violation
from server.external_storage.storage import Stage
from server.grpc_api.call import Call
from server.grpc_api.external_storage_messages import storage_message
from server.grpc_api.external_storage_requests import asked_draft, asked_role, asked_stage, generated_draft
from server.grpc_api.external_storage_use_cases import Drafts, Plans
from server.grpc_api.infrastructure_messages import plan_message

MAX_REVISION_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True)
class ExternalAuditStorageServicer:
    """The methods of ExternalAuditStorageService."""

    drafts: Drafts
    plans: Plans

    async def GenerateDraft(self, request: pb.GenerateDraftRequest, call: Call) -> pb.GenerateDraftResponse:  # noqa: N802
        """Make a draft whose names nobody has."""
        draft = await self.drafts.generate(call.access, generated_draft(request))
        return pb.GenerateDraftResponse(draft=storage_message(draft))

    async def CreateDraft(self, request: pb.CreateDraftRequest, call: Call) -> pb.CreateDraftResponse:  # noqa: N802
        """Make a draft of given names."""
        draft = await self.drafts.create(call.access, asked_draft(request))
        return pb.CreateDraftResponse(draft=storage_message(draft))

    async def UpsertDraft(self, request: pb.UpsertDraftRequest, call: Call) -> pb.UpsertDraftResponse:  # noqa: N802
        """Make the draft what the request says."""
        _check_revision(request.revision)
        draft = await self.drafts.upsert(call.access, asked_draft(request), request.revision)
        return pb.UpsertDraftResponse(draft=storage_message(draft))

    async def GetDraft(self, _request: pb.GetDraftRequest, _call: Call) -> pb.GetDraftResponse:  # noqa: N802
        """The draft."""
        return pb.GetDraftResponse(draft=storage_message(await self.drafts.get(Stage.DRAFT)))

    async def DeleteDraft(self, request: pb.DeleteDraftRequest, call: Call) -> pb.DeleteDraftResponse:  # noqa: N802
        """Delete the draft."""
        _check_revision(request.revision)
        await self.drafts.delete(call.access, request.revision)
        return pb.DeleteDraftResponse()

    async def GetCluster(self, _request: pb.GetClusterRequest, _call: Call) -> pb.GetClusterResponse:  # noqa: N802
        """The storage in force."""
        return pb.GetClusterResponse(cluster=storage_message(await self.drafts.get(Stage.CLUSTER)))

    async def GetIamPolicy(self, request: pb.GetIamPolicyRequest, _call: Call) -> pb.GetIamPolicyResponse:  # noqa: N802
        """The policy that a role needs."""
        stage, role = asked_role(request)
        found = await self.plans.role_policy(stage, role, without_kms=request.without_kms)
        return pb.GetIamPolicyResponse(policy_name=found.policy_name, role_arn=found.role_arn, policy=found.policy)

    async def PlanInfrastructure(  # noqa: N802
        self, request: pb.PlanInfrastructureRequest, _call: Call
    ) -> pb.PlanInfrastructureResponse:
        """All that must be there in AWS."""
        found = await self.plans.infrastructure(asked_stage(request.stage))
        return pb.PlanInfrastructureResponse(plan=plan_message(found.plan), revision=found.revision)


def _check_revision(revision: str) -> None:
    if len(revision) > MAX_REVISION_CHARACTERS:
        raise InvalidRequest([Violation("revision", f"must be at most {MAX_REVISION_CHARACTERS} characters")])
