"""As `integrations`, for asyncio."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator

from extaudit_client import integration_calls
from extaudit_client.calling import Caller
from extaudit_client.integration_rows import Integration
from extaudit_client.paging import async_pages
from extaudit_client.signing_keys import SigningKey


class AsyncIntegrations:
    """Got from AsyncClient.integrations. `Integrations` says what each method does."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create(self, name: str, role_arn: str) -> Integration:
        """Create an integration."""
        return await self._caller.run_async(integration_calls.create(name, role_arn))

    async def get(self, name: str) -> Integration:
        """Give an integration."""
        return await self._caller.run_async(integration_calls.get(name))

    async def list(self) -> AsyncIterator[Integration]:
        """Give all of them, by name."""
        async for page in async_pages(lambda token: self._caller.run_async(integration_calls.page(token)), ""):
            for integration in page.items:
                yield integration

    async def update(
        self, name: str, role_arn: str, revision: str, *, force: bool = False, reason: str = ""
    ) -> Integration:
        """Give an integration another role."""
        call = integration_calls.update(name, role_arn, revision, force=force, reason=reason)
        return await self._caller.run_async(call)

    async def delete(self, name: str, revision: str = "") -> None:
        """Delete an integration."""
        await self._caller.run_async(integration_calls.delete(name, revision))

    async def rotate_signing_key(self, reason: str = "", *, drop_old: bool = False) -> builtins.list[SigningKey]:
        """Have the next key sign the service's tokens from now on; gives the keys, newest first."""
        return await self._caller.run_async(integration_calls.rotate_signing_key(reason, drop_old=drop_old))
