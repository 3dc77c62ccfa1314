"""IntegrationService: the AWS roles that the service may assume, and the keys that sign its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from extaudit.v1 import integration_pb2
from extaudit.v1 import integration_service_pb2 as pb

from rbac.permissions import DELETE_STORAGES, UPDATE_STORAGES
from server.errors import InvalidRequest, PermissionDenied, Violation
from server.grpc_api.call import Call
from server.grpc_api.integration_requests import (
    MAX_REVISION_CHARACTERS,
    integration_update,
    name_violations,
    new_integration,
)
from server.grpc_api.integration_use_cases import Integrations, WebIdentities
from server.grpc_api.listing import MAX_PAGE_SIZE, page_of, page_token, page_violations, position_of
from server.grpc_api.messages import caller_message, timestamp_message
from server.grpc_api.signing_key_messages import check_rotation, rotation_response
from server.grpc_api.use_cases import KeyRotation
from server.integrations.integration import Integration

_LIST: Final = "integrations"


@dataclass(frozen=True, slots=True)
class IntegrationServicer:
    """The methods of IntegrationService."""

    integrations: Integrations
    web_identities: WebIdentities
    rotation: KeyRotation

    async def CreateIntegration(  # noqa: N802
        self, request: pb.CreateIntegrationRequest, call: Call
    ) -> pb.CreateIntegrationResponse:
        """Create an integration."""
        name, role_arn = new_integration(request)
        created = await self.integrations.create(call.access, name, role_arn)
        return pb.CreateIntegrationResponse(integration=self._message(created))

    async def GetIntegration(self, request: pb.GetIntegrationRequest, _call: Call) -> pb.GetIntegrationResponse:  # noqa: N802
        """Give an integration."""
        if violations := name_violations(request.name):
            raise InvalidRequest(violations)
        return pb.GetIntegrationResponse(integration=self._message(await self.integrations.get(request.name)))

    async def ListIntegrations(  # noqa: N802
        self, request: pb.ListIntegrationsRequest, _call: Call
    ) -> pb.ListIntegrationsResponse:
        """A page of the integrations."""
        if violations := page_violations(request.page_size):
            raise InvalidRequest(violations)
        after = position_of(_LIST, request.page_token)
        # One more than a page has tells whether another follows.
        page = await self.integrations.page(after, MAX_PAGE_SIZE + 1)
        shown, token = page_of(page.integrations, request.page_size, self._message, _token)
        return pb.ListIntegrationsResponse(integrations=shown, next_page_token=token, total_size=page.total)

    async def UpdateIntegration(  # noqa: N802
        self, request: pb.UpdateIntegrationRequest, call: Call
    ) -> pb.UpdateIntegrationResponse:
        """Change an integration."""
        if request.force and DELETE_STORAGES not in call.granted:
            raise PermissionDenied(
                "access denied", hidden="may not force", kind="external_audit_storage", verb="delete"
            )
        asked = integration_update(request, may_change_role=UPDATE_STORAGES in call.granted)
        updated = await self.integrations.update(call.access, asked)
        return pb.UpdateIntegrationResponse(integration=self._message(updated))

    async def DeleteIntegration(  # noqa: N802
        self, request: pb.DeleteIntegrationRequest, call: Call
    ) -> pb.DeleteIntegrationResponse:
        """Delete an integration."""
        violations = name_violations(request.name)
        if len(request.revision) > MAX_REVISION_CHARACTERS:
            violations.append(Violation("revision", f"must be at most {MAX_REVISION_CHARACTERS} characters"))
        if violations:
            raise InvalidRequest(violations)
        await self.integrations.delete(call.access, request.name, request.revision)
        return pb.DeleteIntegrationResponse()

    async def RotateSigningKey(  # noqa: N802
        self, request: pb.RotateSigningKeyRequest, call: Call
    ) -> pb.RotateSigningKeyResponse:
        """Have the next key sign."""
        check_rotation(request)
        keys = await self.rotation.rotate(call.access, drop_old=request.drop_old, reason=request.reason)
        return rotation_response(keys)

    def _message(self, integration: Integration) -> integration_pb2.Integration:
        known = self.web_identities
        subject = known.subject(integration.name)
        return integration_pb2.Integration(
            name=integration.name,
            aws_oidc=integration_pb2.AwsOidcIntegration(role_arn=str(integration.role_arn)),
            revision=integration.revision,
            create_time=timestamp_message(integration.created_ms),
            update_time=timestamp_message(integration.updated_ms),
            creator=caller_message(integration.creator),
            web_identity=integration_pb2.WebIdentity(issuer=known.issuer, audience=known.audience, subject=subject),
        )


def _token(integration: Integration) -> str:
    return page_token(_LIST, integration.name)
