"""A real gRPC server on a real socket with real TLS, identities and policy.

Only what is behind the edge is a stand-in: the use cases below keep events in memory and answer what a test tells them.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc

from rbac.identities import Identity, IdentityKind
from rbac.policy import Policy, load_policy_folder
from server.access.lock_table import LockTable
from server.access.locks import Locks
from server.access.rights import Rights
from server.certificates.anchors import Anchor, TrustAnchors
from server.certificates.resolver import IdentityResolver
from server.grpc_api.external_storage_use_cases import ConnectionTests, Drafts, Plans, Promotions
from server.grpc_api.server import GrpcServer, Limits, TokenListener, UseCases
from server.grpc_api.use_cases import TokenAuthenticator
from server.integrations.integrations import Integrations
from server.integrations.web_identity import WebIdentityTokens
from tests.certificates_builder import CLUSTER, Ca, CaShape, Pair
from tests.grpc.memory_integrations import ISSUER, MemoryIntegrations
from tests.grpc.memory_recordings import (
    MemoryLists,
    MemoryOpening,
    MemoryTextSearch,
    MemoryTransfers,
    MemoryUploads,
)
from tests.grpc.memory_storages import (
    MemoryBacklogs,
    MemoryConnectionTests,
    MemoryDrafts,
    MemoryPlans,
    MemoryPromotions,
)
from tests.grpc.memory_use_cases import (
    MemoryDenials,
    MemoryExports,
    MemoryIntake,
    MemoryKeyRotation,
    MemoryLocks,
    MemorySearches,
    MemoryStatus,
    MemoryWatches,
    Records,
)


@dataclass
class HeldPolicy:
    """Stands where the policy's holder stands, so that tests swap policies."""

    current: Policy


@dataclass
class HeldAnchors:
    """Stands where the certificates in force stand, so that tests swap trust anchors."""

    resolver: IdentityResolver
    token_id: str = ""
    """Stands in for the token of every caller."""

    def trust(self, *anchors: Anchor) -> None:
        self.resolver = IdentityResolver(TrustAnchors(anchors), CLUSTER, frozenset)

    def resolve(self, pem: bytes, peer: str, now: datetime) -> Identity:
        identity = self.resolver.resolve(pem, peer, now)
        return replace(identity, token_id=self.token_id) if self.token_id else identity


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def now_ms(self) -> int:
        return int(self().timestamp() * 1000)


@dataclass
class Rig:
    """The server and what is around it."""

    server: GrpcServer
    port: int
    host_ca: Ca
    user_ca: Ca
    intake: MemoryIntake
    searches: MemorySearches
    exports: MemoryExports
    watches: MemoryWatches
    status: MemoryStatus
    records: Records
    policy: HeldPolicy
    clock: Clock
    lock_store: MemoryLocks
    lock_table: LockTable
    authenticator: HeldAnchors
    denials: MemoryDenials
    uploads: MemoryUploads
    opening: MemoryOpening
    lists: MemoryLists
    text_search: MemoryTextSearch
    transfers: MemoryTransfers
    drafts: MemoryDrafts
    integrations: MemoryIntegrations
    plans: MemoryPlans
    key_rotation: MemoryKeyRotation
    promotions: MemoryPromotions
    connection_tests: MemoryConnectionTests
    backlogs: MemoryBacklogs

    def look_no_more(self) -> None:
        """Have streams looked at no more: that rights have ended is found with their next message or not at all."""

        async def nothing() -> None: ...

        self.server._pipeline.live._look = nothing  # type: ignore[method-assign]

    def channel(self, pair: Pair, *options: tuple[str, Any]) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(self.host_ca.pem, pair.key_pem, pair.pem)
        return grpc.aio.secure_channel(f"localhost:{self.port}", credentials, options=options)

    def token_channel(self, *options: tuple[str, Any], pair: Pair | None = None) -> grpc.aio.Channel:
        """A channel to the listener for tokens; `pair` is a client certificate that it offers nevertheless."""
        given = (pair.key_pem, pair.pem) if pair else (None, None)
        credentials = grpc.ssl_channel_credentials(self.host_ca.pem, *given)
        return grpc.aio.secure_channel(f"localhost:{self.server.token_port}", credentials, options=options)

    def node(self) -> grpc.aio.Channel:
        """A component's channel: it may emit."""
        return self.channel(self.host_ca.component())

    def user(self, *roles: str, name: str = "alice") -> grpc.aio.Channel:
        return self.channel(self.user_ca.user(name, roles=roles))

    @property
    def touched(self) -> bool:
        """Whether any use case was asked for anything."""
        return bool(
            self.intake.accesses
            or self.searches.asked
            or self.exports.asked
            or self.watches.asked
            or self.status.shown
            or self.lock_store.events
            or self.uploads.asked
            or self.opening.asked
            or self.lists.asked
            or self.text_search.asked
            or self.drafts.asked
            or self.integrations.asked
            or self.plans.asked
            or self.key_rotation.asked
            or self.promotions.asked
            or self.connection_tests.asked
            or self.backlogs.asked
        )


@contextlib.asynccontextmanager
async def serving(
    *,
    limits: Limits | None = None,
    holds: bool = False,
    roles: Any = None,
    listen: str = "127.0.0.1:0",
    tokens: TokenAuthenticator | None = None,
    drafts: Drafts | None = None,
    plans: Plans | None = None,
    promotions: Promotions | None = None,
    connection_tests: ConnectionTests | None = None,
) -> AsyncIterator[Rig]:
    """A server that serves, and is stopped at the end. `roles`: a folder of role files; `drafts`, `plans`,
    `promotions`, `connection_tests`: instead of their stand-ins."""
    host_ca, user_ca = CaShape().make(), CaShape().make()
    anchors = TrustAnchors(
        (
            Anchor(host_ca.id, IdentityKind.COMPONENT, host_ca.certificate, local=False),
            Anchor(user_ca.id, IdentityKind.USER, user_ca.certificate, local=False),
        )
    )
    pair = host_ca.server()
    credentials = grpc.ssl_server_credentials([(pair.key_pem, pair.pem)], host_ca.pem + user_ca.pem, True)
    intake, searches, status, records = MemoryIntake(holds), MemorySearches(), MemoryStatus(), Records()
    exports = MemoryExports()
    policy, clock, store = HeldPolicy(load_policy_folder(roles)), Clock(), MemoryLocks()
    authenticator, denials = HeldAnchors(IdentityResolver(anchors, CLUSTER, frozenset)), MemoryDenials()
    uploads, opening, lists, texts = MemoryUploads(holds), MemoryOpening(), MemoryLists(), MemoryTextSearch()
    integrations = MemoryIntegrations()
    transfers, watches, no_drafts, no_plans = MemoryTransfers(), MemoryWatches(), MemoryDrafts(), MemoryPlans()
    key_rotation = MemoryKeyRotation()
    no_promotions = MemoryPromotions()
    no_tests = MemoryConnectionTests()
    backlogs = MemoryBacklogs()
    table = LockTable(store, clock.now_ms)
    locks = Locks(store, table, clock.now_ms, lambda: server.look_again())
    server = GrpcServer(
        listen,
        credentials,
        authenticator,
        policy,
        table,
        UseCases(
            intake,
            searches,
            exports,
            watches,
            status,
            Rights(policy, table),
            locks,
            denials,
            uploads,
            opening,
            lists,
            texts,
            transfers,
            drafts or no_drafts,
            Integrations(integrations, lambda: integrations.undelivered, clock.now_ms),
            WebIdentityTokens(ISSUER, None, clock.now_ms),
            plans or no_plans,
            key_rotation,
            promotions or no_promotions,
            connection_tests or no_tests,
            backlogs,
        ),
        limits=limits,
        observers=(records,),
        clock=clock,
        tokens=TokenListener(listen, grpc.ssl_server_credentials([(pair.key_pem, pair.pem)]), tokens)
        if tokens
        else None,
    )
    port = await server.start()
    server.health.set_serving(True)
    try:
        yield Rig(
            server,
            port,
            host_ca,
            user_ca,
            intake,
            searches,
            exports,
            watches,
            status,
            records,
            policy,
            clock,
            store,
            table,
            authenticator,
            denials,
            uploads,
            opening,
            lists,
            texts,
            transfers,
            no_drafts,
            integrations,
            no_plans,
            key_rotation,
            no_promotions,
            no_tests,
            backlogs,
        )
    finally:
        await server.stop(0)
