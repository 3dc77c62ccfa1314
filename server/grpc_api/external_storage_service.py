"""ExternalAuditStorageService: maps messages to use cases and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from extaudit.v1 import external_audit_storage_service_pb2 as pb

from rbac.permissions import DELETE_STORAGES
from server.audit_log.access import Access
from server.errors import PermissionDenied
from server.external_storage.backlogs import DiversionRequest
from server.external_storage.storage import Promotion, Stage
from server.grpc_api.call import Call
from server.grpc_api.connection_check_messages import step_message
from server.grpc_api.diversion_messages import diversion_message
from server.grpc_api.draining import Drain
from server.grpc_api.external_storage_messages import promotion_message, storage_message
from server.grpc_api.external_storage_requests import (
    asked_draft,
    asked_role,
    asked_stage,
    generated_draft,
    history_position,
    promotion_request,
    reason_violations,
    refuse_wrong,
    revision_violations,
)
from server.grpc_api.external_storage_use_cases import Backlogs, ConnectionTests, Drafts, Plans, Promotions
from server.grpc_api.infrastructure_messages import plan_message
from server.grpc_api.listing import MAX_PAGE_SIZE, page_of, page_token, page_violations, position_of

_HISTORY: Final = "promotions"


@dataclass(frozen=True, slots=True)
class ExternalAuditStorageServicer:
    """The methods of ExternalAuditStorageService."""

    drafts: Drafts
    plans: Plans
    promotions: Promotions
    connection_tests: ConnectionTests
    backlogs: Backlogs
    drain: Drain

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
        refuse_wrong(revision_violations(request.revision))
        draft = await self.drafts.upsert(call.access, asked_draft(request), request.revision)
        return pb.UpsertDraftResponse(draft=storage_message(draft))

    async def GetDraft(self, _request: pb.GetDraftRequest, _call: Call) -> pb.GetDraftResponse:  # noqa: N802
        """The draft."""
        return pb.GetDraftResponse(draft=storage_message(await self.drafts.get(Stage.DRAFT)))

    async def DeleteDraft(self, request: pb.DeleteDraftRequest, call: Call) -> pb.DeleteDraftResponse:  # noqa: N802
        """Delete the draft."""
        refuse_wrong(revision_violations(request.revision))
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

    async def TestConnection(  # noqa: N802
        self, request: pb.TestConnectionRequest, call: Call
    ) -> AsyncIterator[pb.TestConnectionResponse]:
        """Whether everything works: each check as it ends, then how the test ended."""
        stage, role = asked_role(request)

        def caller() -> Access:
            call.recheck()  # rights may end while a test lasts
            self.drain.refuse_when_begun()
            return call.access

        async with aclosing(self.connection_tests.run(caller, stage, role)) as steps:
            async for step in steps:
                yield step_message(step)

    async def PromoteToCluster(  # noqa: N802
        self, request: pb.PromoteToClusterRequest, call: Call
    ) -> pb.PromoteToClusterResponse:
        """Have the draft come into force."""
        if request.force and DELETE_STORAGES not in call.granted:
            kind, (verb,) = DELETE_STORAGES
            raise PermissionDenied("access denied", hidden="rules", kind=kind, verb=verb)
        cluster = await self.promotions.promote(call.access, promotion_request(request))
        return pb.PromoteToClusterResponse(cluster=storage_message(cluster))

    async def DisableCluster(self, request: pb.DisableClusterRequest, call: Call) -> pb.DisableClusterResponse:  # noqa: N802
        """Go back to the default storage."""
        refuse_wrong([*revision_violations(request.revision), *reason_violations(request.reason)])
        await self.promotions.disable(call.access, request.revision, request.reason)
        return pb.DisableClusterResponse()

    async def DivertStorage(self, request: pb.DivertStorageRequest, call: Call) -> pb.DivertStorageResponse:  # noqa: N802
        """Take what waits for a storage to another one."""
        refuse_wrong(reason_violations(request.reason))
        asked = DiversionRequest(request.storage_id, request.to, request.reason, request.validate_only)
        return diversion_message(await self.backlogs.divert(call.access, asked))

    async def ListPromotions(self, request: pb.ListPromotionsRequest, _call: Call) -> pb.ListPromotionsResponse:  # noqa: N802
        """A page of the history."""
        refuse_wrong(page_violations(request.page_size))
        before = history_position(position_of(_HISTORY, request.page_token))
        # One more than the largest page, which tells whether another follows.
        rows = await self.promotions.history(before, MAX_PAGE_SIZE + 1)
        shown, token = page_of(rows, request.page_size, promotion_message, _history_token)
        return pb.ListPromotionsResponse(promotions=shown, next_page_token=token)


def _history_token(promotion: Promotion) -> str:
    return page_token(_HISTORY, str(promotion.number))
