"""What IntegrationService needs of the rest of the service."""

from __future__ import annotations

from typing import Protocol

from server.audit_log.access import Access
from server.integrations.integration import Integration, RoleArn
from server.integrations.integrations import IntegrationPage, IntegrationUpdate


class Integrations(Protocol):
    """Keeps integrations."""

    async def create(self, access: Access, name: str, role_arn: RoleArn) -> Integration:
        """Create an integration, durable when this returns.

        Raises:
            AlreadyExists: there is one of that name.
        """
        ...

    async def get(self, name: str) -> Integration:
        """An integration.

        Raises:
            NotFound: there is none of that name.
        """
        ...

    async def page(self, after: str, limit: int) -> IntegrationPage:
        """The first integrations whose names come after `after`, at most `limit`."""
        ...

    async def update(self, access: Access, asked: IntegrationUpdate) -> Integration:
        """Change an integration.

        Raises:
            PermissionDenied, NotFound, Aborted, FailedPrecondition: see IntegrationService.
        """
        ...

    async def delete(self, access: Access, name: str, revision: str) -> None:
        """Delete an integration.

        Raises:
            NotFound, Aborted, FailedPrecondition: see IntegrationService.
        """
        ...


class WebIdentities(Protocol):
    """Knows what the service's tokens for AWS say."""

    @property
    def issuer(self) -> str:
        """What they have in `iss`; '' where no issuer is configured."""
        ...

    @property
    def audience(self) -> str:
        """What they have in `aud`."""
        ...

    def subject(self, integration_name: str) -> str:
        """What those for an integration have in `sub`."""
        ...
