"""As `integrations`, for asyncio."""

from __future__ import annotations

from extaudit_client import integration_calls
from extaudit_client.calling import Caller
from extaudit_client.signing_keys import SigningKey


class AsyncIntegrations:
    """Got from AsyncClient.integrations. `Integrations` says what each method does."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def rotate_signing_key(self, reason: str = "", *, drop_old: bool = False) -> list[SigningKey]:
        """Have the next key sign the service's tokens from now on; gives the keys, newest first."""
        return await self._caller.run_async(integration_calls.rotate_signing_key(reason, drop_old=drop_old))
