"""The gRPC server: options, the registration of all services through the pipeline, start and stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import grpc
from extaudit.v1 import (
    access_service_pb2,
    access_service_pb2_grpc,
    audit_log_service_pb2,
    audit_log_service_pb2_grpc,
    external_audit_storage_service_pb2,
    external_audit_storage_service_pb2_grpc,
    integration_service_pb2,
    integration_service_pb2_grpc,
    recording_service_pb2,
    recording_service_pb2_grpc,
    status_service_pb2,
    status_service_pb2_grpc,
)
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from server.config import Config
from server.grpc_api.access_service import AccessServicer
from server.grpc_api.audit_log import AuditLogServicer, SearchTime
from server.grpc_api.call import Check
from server.grpc_api.draining import Drain
from server.grpc_api.emit_stream import Window
from server.grpc_api.external_storage_service import ExternalAuditStorageServicer
from server.grpc_api.external_storage_use_cases import Backlogs, ConnectionTests, Drafts, Plans, Promotions
from server.grpc_api.health import Health
from server.grpc_api.integration_service import IntegrationServicer
from server.grpc_api.integration_use_cases import Integrations, WebIdentities
from server.grpc_api.interceptors.authentication import authentication
from server.grpc_api.interceptors.call_spans import CallTracer
from server.grpc_api.interceptors.identity_limits import IdentityLimits
from server.grpc_api.interceptors.observation import AccessLog, CallObserver
from server.grpc_api.interceptors.token_authentication import token_authentication
from server.grpc_api.pipeline import PROBES, Pipeline, RpcHandler, utc_now
from server.grpc_api.recording_service import RecordingServicer
from server.grpc_api.recording_use_cases import Opening, SessionLists, TextSearch, Transfers, Uploads
from server.grpc_api.reflection import METHODS as REFLECTION_METHODS
from server.grpc_api.reflection import Reflection
from server.grpc_api.status_service import StatusServicer
from server.grpc_api.use_cases import (
    Authenticator,
    Denials,
    Exports,
    Intake,
    KeyRotation,
    LockCheck,
    Locks,
    PolicySource,
    Rights,
    Searches,
    Status,
    TokenAuthenticator,
    Watches,
)
from server.observability.call_metrics import Traffic
from server.observability.spans import CallSpans

OWN_SERVICES: Final = (
    audit_log_service_pb2.DESCRIPTOR.services_by_name["AuditLogService"].full_name,
    recording_service_pb2.DESCRIPTOR.services_by_name["RecordingService"].full_name,
    access_service_pb2.DESCRIPTOR.services_by_name["AccessService"].full_name,
    external_audit_storage_service_pb2.DESCRIPTOR.services_by_name["ExternalAuditStorageService"].full_name,
    integration_service_pb2.DESCRIPTOR.services_by_name["IntegrationService"].full_name,
    status_service_pb2.DESCRIPTOR.services_by_name["StatusService"].full_name,
)
_HEALTH: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_REFLECTION: Final = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"].full_name


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the server."""

    max_message_bytes: int = 8 * 1024 * 1024
    max_concurrent_calls: int = 1000
    search_seconds: float = 30.0
    window: Window = field(default_factory=Window)
    """What of one EmitEvents stream may be under way."""
    identity: IdentityLimits = field(default_factory=IdentityLimits)
    """What each identity may have of it."""

    @classmethod
    def of(cls, config: Config) -> Limits:
        """The bounds that the configuration sets."""
        each = config.limits
        identity = IdentityLimits(
            each.calls_per_second, each.events_per_second, each.concurrent_calls, each.concurrent_streams
        )
        listener, seconds = config.grpc, config.search.time_limit_seconds
        return cls(listener.message_bytes, listener.max_concurrent_calls, seconds, identity=identity)


@dataclass(frozen=True, slots=True)
class UseCases:
    """What the methods call."""

    intake: Intake
    searches: Searches
    exports: Exports
    watches: Watches
    status: Status
    rights: Rights
    locks: Locks
    denials: Denials
    uploads: Uploads
    opening: Opening
    lists: SessionLists
    text_search: TextSearch
    transfers: Transfers
    drafts: Drafts
    integrations: Integrations
    web_identities: WebIdentities
    plans: Plans
    key_rotation: KeyRotation
    promotions: Promotions
    connection_tests: ConnectionTests
    backlogs: Backlogs


@dataclass(frozen=True, slots=True)
class TokenListener:
    """The listener for bearer tokens: server TLS, and no client certificates."""

    listen: str
    credentials: grpc.ServerCredentials
    authenticator: TokenAuthenticator


class GrpcServer:
    """Serves the gRPC API: on a listener for client certificates, and on one for tokens where it is given.

    Each is a server of its own, so that no call can be taken for one of the other; limits, health and draining are
    common. Build and use it within the running loop. Observers are told of every finished call, beside the access log.
    """

    def __init__(
        self,
        listen: str,
        credentials: grpc.ServerCredentials,
        authenticator: Authenticator,
        policy: PolicySource,
        locks: LockCheck,
        use_cases: UseCases,
        *,
        limits: Limits | None = None,
        observers: Sequence[CallObserver] = (),
        traffic: Callable[[str], Traffic] = lambda _: Traffic(),
        spans: CallSpans | None = None,
        clock: Callable[[], datetime] = utc_now,
        tokens: TokenListener | None = None,
    ) -> None:
        limits = limits or Limits()
        self.token_port: int | None = None
        """Port of the listener for tokens, once it is bound."""
        tracer = CallTracer(spans) if spans is not None else None
        self._drain = Drain()
        self.health = Health(OWN_SERVICES, self._drain)
        self._pipeline = Pipeline(
            policy,
            locks,
            self._drain,
            identity_limits=limits.identity,
            max_concurrent_calls=limits.max_concurrent_calls,
            observers=(AccessLog(), *observers, *([tracer] if tracer else [])),
            traffic=traffic,
            begins=(tracer.begin,) if tracer else (),
        )
        self._search_time = SearchTime(limits.search_seconds)
        self._looking: asyncio.Task[None] | None = None
        self._listeners = [_Listener(listen, credentials, authentication(authenticator, clock), limits)]
        if tokens is not None:
            who = token_authentication(tokens.authenticator, clock)
            self._listeners.append(_Listener(tokens.listen, tokens.credentials, who, limits))
        self._register(use_cases, limits)

    async def start(self) -> int:
        """Bind and serve; gives the port of the listener for certificates.

        Health says not serving until `health.set_serving(True)`.

        Raises:
            RuntimeError: an address can't be bound.
        """
        port, *token_ports = [listener.bind() for listener in self._listeners]
        self.token_port = next(iter(token_ports), None)
        for listener in self._listeners:
            await listener.server.start()
        self._looking = asyncio.create_task(self._pipeline.live.run())
        return port

    async def until_stopped(self) -> None:
        """Wait until `stop`.

        Raises:
            RuntimeError: a listener has ended by itself, and nothing is served there any more.
        """
        ends = [asyncio.ensure_future(listener.server.wait_for_termination()) for listener in self._listeners]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not self._drain.begun:
            raise RuntimeError("a listener for gRPC has ended")

    def hold_to(self, limits: Limits) -> None:
        """Hold searches and identities to other limits from now on; the rest is the listeners' for as long as they
        are. Called on the loop."""
        self._pipeline.hold_to(limits.identity)
        self._search_time.seconds = limits.search_seconds

    def look_again(self) -> None:
        """Have every stream's rights looked at soon; something that they rest on has changed. Called on the loop."""
        self._pipeline.live.look_soon()

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called: new calls are refused."""
        return self._drain.begun

    async def stop(self, grace: float) -> None:
        """Say not serving, end streams after acknowledging what they submitted, wait `grace` seconds for the rest."""
        self._drain.begin()
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        # Only then is the listener closed: while it is open new calls are told why they are refused, closing they may
        # be cancelled without a word.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(end):
                await self._pipeline.until_idle()
        left = max(0.0, end - loop.time())
        await asyncio.gather(*(listener.server.stop(left) for listener in self._listeners))
        if self._looking is not None:
            self._looking.cancel()

    def _register(self, use_cases: UseCases, limits: Limits) -> None:
        found = _Handlers()
        log = AuditLogServicer(
            use_cases.intake,
            use_cases.searches,
            use_cases.exports,
            use_cases.watches,
            use_cases.denials,
            self._drain,
            self._search_time,
            limits.window,
        )
        reflection = Reflection((*OWN_SERVICES, _HEALTH, _REFLECTION), self._drain)
        audit_log_service_pb2_grpc.add_AuditLogServiceServicer_to_server(_any(log), _any(found))
        status = StatusServicer(use_cases.status, use_cases.drafts)
        status_service_pb2_grpc.add_StatusServiceServicer_to_server(_any(status), _any(found))
        recordings = RecordingServicer(
            use_cases.uploads,
            use_cases.opening,
            use_cases.lists,
            use_cases.text_search,
            use_cases.transfers,
            self._drain,
        )
        recording_service_pb2_grpc.add_RecordingServiceServicer_to_server(_any(recordings), _any(found))
        access = AccessServicer(use_cases.rights, use_cases.locks)
        access_service_pb2_grpc.add_AccessServiceServicer_to_server(_any(access), _any(found))
        storages = ExternalAuditStorageServicer(
            use_cases.drafts,
            use_cases.plans,
            use_cases.promotions,
            use_cases.connection_tests,
            use_cases.backlogs,
            self._drain,
        )
        add_storages = external_audit_storage_service_pb2_grpc.add_ExternalAuditStorageServiceServicer_to_server
        add_storages(_any(storages), _any(found))
        integrations = IntegrationServicer(use_cases.integrations, use_cases.web_identities, use_cases.key_rotation)
        integration_service_pb2_grpc.add_IntegrationServiceServicer_to_server(_any(integrations), _any(found))
        _any(health_pb2_grpc).add_HealthServicer_to_server(self.health, found)
        _any(reflection_pb2_grpc).add_ServerReflectionServicer_to_server(reflection, found)
        found.add_alias(f"/{_REFLECTION}/ServerReflectionInfo", REFLECTION_METHODS)
        for listener in self._listeners:
            handlers = {
                method: self._pipeline.wrap(method, rpc, listener.who) for method, rpc in found.handlers.items()
            }
            listener.server.add_generic_rpc_handlers((_Methods(handlers, self._pipeline.unknown(listener.who)),))


class _Methods(grpc.GenericRpcHandler):
    """All methods of a listener. Not registered with grpc one by one: it would wait for a call of each of them anew
    whenever it is called, which took a tenth of a millisecond."""

    def __init__(self, handlers: Mapping[str, RpcHandler], unknown: RpcHandler) -> None:
        self._handlers = handlers
        self._unknown = unknown

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> RpcHandler:
        return self._handlers.get(handler_call_details.method, self._unknown)


class _Listener:
    """An address, the server behind it, and the check that tells who calls there."""

    def __init__(self, listen: str, credentials: grpc.ServerCredentials, who: Check, limits: Limits) -> None:
        self._listen = listen
        self._credentials = credentials
        self.who = who
        self.server = grpc.aio.server(options=_options(limits))

    def bind(self) -> int:
        return self.server.add_secure_port(self._listen, self._credentials)


class _Handlers:
    """Stands where generated code expects a server, and keeps the handlers it registers."""

    def __init__(self) -> None:
        self.handlers: dict[str, RpcHandler] = {}

    def add_generic_rpc_handlers(self, generic_rpc_handlers: object) -> None:
        """Nothing: the same handlers come with their names by the other method."""

    def add_registered_method_handlers(self, service_name: str, method_handlers: dict[str, RpcHandler]) -> None:
        self.handlers |= {f"/{service_name}/{name}": rpc for name, rpc in method_handlers.items()}

    def add_alias(self, method: str, names: Sequence[str]) -> None:
        self.handlers |= dict.fromkeys(names, self.handlers[method])


def _any(value: Any) -> Any:
    """Our servicers take a Call where generated code declares grpc's context, and the library's code has no types."""
    return value


def _options(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", limits.max_message_bytes),
        # For one connection; with room for probes and for refusals, which else would wait at the client.
        ("grpc.max_concurrent_streams", limits.max_concurrent_calls + PROBES),
        # Emitters keep idle connections open through firewalls by pings.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        # Else a second server could take the same port, and half of the calls.
        ("grpc.so_reuseport", 0),
    ]
