"""All token issuers together: built from their settings, kept fresh, and told of in status."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from rbac.identities import Identity
from server.config import TokenIssuer
from server.tokens.issuer_keys import REFRESH_SECONDS, IssuerKeys, JwksSource, KeySetTrace, KeysState
from server.tokens.resolver import TokenResolver, TrustedIssuer
from server.tokens.sources import JwksFile, JwksUrl

FILE_REFRESH_SECONDS = 2.0


class TokenIssuers:
    """Resolves tokens of the configured issuers. Lives on the event loop."""

    def __init__(
        self,
        issuers: Sequence[TokenIssuer],
        skew: timedelta,
        *,
        qualified: bool,
        trace: KeySetTrace,
        account: int | None = None,
    ) -> None:
        """JwksProblem if a CA file can't be used. `trace` is told what becomes of the issuers' keys.

        Files that others than `account`, the service's, and root can write are refused; None lets it be.
        """
        self._keys = tuple(_keys(issuer, trace, account) for issuer in issuers)
        trusted = [TrustedIssuer(*each) for each in zip(issuers, self._keys, strict=True)]
        self._resolver = TokenResolver(trusted, skew, qualified=qualified)
        self._stopped = asyncio.Event()

    def resolve(self, token: str, now: datetime) -> Identity:
        """As TokenResolver.resolve."""
        return self._resolver.resolve(token, now)

    def states(self) -> list[KeysState]:
        """How the keys of each issuer are."""
        return [keys.state() for keys in self._keys]

    async def refresh(self) -> None:
        """Fetch all keys once; takes as long as the slowest issuer, within the bound of a fetch."""
        await asyncio.gather(*(keys.refresh() for keys in self._keys))

    async def run(self) -> None:
        """Keep the keys fresh until `stop`."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(keys.run()) for keys in self._keys]
            await self._stopped.wait()
            for task in tasks:
                task.cancel()

    def stop(self) -> None:
        """Make `run` return."""
        self._stopped.set()


def _keys(issuer: TokenIssuer, trace: KeySetTrace, account: int | None) -> IssuerKeys:
    source: JwksSource
    if issuer.jwks_file is not None:
        source = JwksFile(issuer.jwks_file, account)
        return IssuerKeys(issuer.issuer, source, trace, refresh_seconds=FILE_REFRESH_SECONDS)
    if issuer.jwks_url is None:
        raise ValueError("an issuer has a file or a URL of keys")
    source = JwksUrl(issuer.jwks_url, issuer.jwks_ca, account=account)
    return IssuerKeys(issuer.issuer, source, trace, refresh_seconds=REFRESH_SECONDS)
