"""The way of every call, put together in one place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

import grpc

from rbac.permissions import PERMISSIONS, Permission
from server.errors import NotKnownYet
from server.grpc_api.call import Call, Check, Handler
from server.grpc_api.draining import Drain
from server.grpc_api.interceptors.admission import Admission
from server.grpc_api.interceptors.authorisation import authorisation
from server.grpc_api.interceptors.error_mapping import end_failed
from server.grpc_api.interceptors.identity_limits import IdentityLimiter, IdentityLimits
from server.grpc_api.interceptors.locks import lock_check
from server.grpc_api.interceptors.observation import AccessLog, CallObserver, tell
from server.grpc_api.interceptors.request_decoding import decoding
from server.grpc_api.interceptors.request_ids import RequestIds
from server.grpc_api.live_calls import LiveCalls
from server.grpc_api.status import UnknownMethod
from server.grpc_api.use_cases import LockCheck, PolicySource
from server.observability.call_metrics import Traffic

RpcHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Served: TypeAlias = Callable[[Any, Any], Coroutine[Any, Any, Any]]
"""What grpc calls with a request's bytes and its context."""

MAX_QUERY_BYTES = 1024 * 1024
"""Bound of every request that carries no events."""
PROBES = 100
"""Bound of health checks under way: one of their own, so that an overload never looks like an outage. Each is answered
at once."""
WATCHES = 100
"""Bound of health watches, which last as long as whoever asks likes, and so may keep nobody from a check."""
_EMIT_EVENT = "/extaudit.v1.AuditLogService/EmitEvent"


def utc_now() -> datetime:
    """The time, time-zone-aware."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Puts the steps around the handlers of all listeners. The parts are given once; the drain is the server's."""

    policy: PolicySource
    locks: LockCheck
    drain: Drain
    identity_limits: IdentityLimits = field(default_factory=IdentityLimits)
    max_concurrent_calls: int = 1000
    observers: Sequence[CallObserver] = (AccessLog(),)
    permissions: Mapping[str, Permission] = field(default_factory=lambda: PERMISSIONS)
    traffic: Callable[[str], Traffic] = field(default=lambda _: Traffic())
    """Where the calls of a method are counted while they last."""
    begins: Sequence[Check] = ()
    """What every call begins with, before it is admitted; none of it refuses one."""
    live: LiveCalls = field(default_factory=LiveCalls, init=False)
    _request_ids: RequestIds = field(default_factory=RequestIds, init=False)
    _limiter: IdentityLimiter = field(init=False)
    _calls: Admission = field(init=False)
    _probes: Admission = field(init=False)
    _watches: Admission = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_limiter", IdentityLimiter(self.identity_limits))
        object.__setattr__(self, "_calls", Admission(self.max_concurrent_calls, self.drain))
        # Probes are answered to the end: with "not serving".
        object.__setattr__(self, "_probes", Admission(PROBES, Drain()))
        object.__setattr__(self, "_watches", Admission(WATCHES, Drain()))

    def wrap(self, method: str, rpc: RpcHandler, who: Check) -> RpcHandler:
        """The handler of a method with all steps around it; requests come in as bytes. `who` sets the identity."""
        handler = _endpoint(rpc, decoding(rpc.request_deserializer or bytes, _bound(method)))
        permission = self.permissions.get(method)
        if permission is not None and permission.anyone:
            places = self._watches if rpc.response_streaming else self._probes
            return self._rpc(method, self._served(method, handler, (places.admit,), ()), rpc)
        streams = rpc.request_streaming or rpc.response_streaming
        checks = (*self._barring(who), authorisation(self.policy, permission))
        # Refusing what is too much must cost as little as possible, so it comes before authentication. Who calls and
        # whether they may comes before any look at the request. Only a call that has passed the checks counts for its
        # caller, and is looked at again.
        steps = (self._calls.admit, *checks, *self._limiter.steps(streams=streams))
        serve = self._served(method, self.live.around(handler) if streams else handler, steps, checks)
        return self._rpc(method, serve, rpc)

    def unknown(self, who: Check) -> RpcHandler:
        """Answers every method that there is no handler of, in whatever shape it is called."""
        checks = self._barring(who)
        serve = self._served("unknown", _refuse_unknown, (self._calls.admit, *checks), checks)
        return grpc.stream_stream_rpc_method_handler(_without_requests(serve))

    def hold_to(self, limits: IdentityLimits) -> None:
        """Hold every identity to other limits from now on."""
        self._limiter.hold_to(limits)

    async def until_idle(self) -> None:
        """Wait until no call but probes is under way."""
        await self._calls.until_idle()

    def _rpc(self, method: str, serve: Served, rpc: RpcHandler) -> RpcHandler:
        """A handler as grpc takes it. Coroutine functions for all shapes: the call writes responses of streams."""
        encode = _encoding(rpc.response_serializer, self.traffic(method))
        if rpc.request_streaming:
            return grpc.stream_stream_rpc_method_handler(_without_requests(serve), None, encode)
        if rpc.response_streaming:
            return grpc.unary_stream_rpc_method_handler(serve, None, encode)
        return grpc.unary_unary_rpc_method_handler(serve, None, encode)

    def _barring(self, who: Check) -> tuple[Check, ...]:
        """Who calls, and whether a lock bars them."""
        return who, lock_check(self.locks)

    def _served(self, method: str, handler: Handler, steps: Sequence[Check], checks: Sequence[Check]) -> Served:
        """The one coroutine that takes a method's calls through all steps; `checks` are those that streams repeat."""
        steps = (*self.begins, *steps)
        give_id, observers, traffic = self._request_ids.give, self.observers, self.traffic(method)

        async def serve(request: Any, context: Any) -> object:
            started = time.perf_counter()
            call = Call(method, request, context, traffic)
            traffic.begun += 1
            if request is not None:
                traffic.received_messages += 1
                traffic.received_bytes += len(request)
            call.checks = checks
            give_id(call)  # first: everything below logs with the id
            try:
                try:
                    for step in steps:
                        try:
                            step(call)
                        except NotKnownYet as unknown:
                            # Only here, where a call may wait: what a stream began with is known, or counts no more.
                            await unknown.learn()
                            step(call)
                    response = await handler(call)
                except Exception as error:
                    failure = error
                else:
                    call.code = "OK"
                    return response
                # Around all that refuses, so that no error reaches a client unmapped.
                await end_failed(call, failure)
            except asyncio.CancelledError:
                call.cut_off()
                raise
            finally:
                call.over()
                # Last, so that the observers are told the final status of everything.
                tell(observers, call, time.perf_counter() - started)

        return serve


async def _refuse_unknown(_call: Call) -> None:
    raise UnknownMethod("the service has no such method")


def _bound(method: str) -> int | None:
    return None if method == _EMIT_EVENT else MAX_QUERY_BYTES


def _endpoint(rpc: RpcHandler, decoded: Callable[[Call], Any]) -> Handler:
    """The servicer's method as the innermost step; it gets the call where generated code has the context."""
    if rpc.request_streaming:
        serve_stream: Any = rpc.stream_stream

        async def stream(call: Call) -> None:
            decoded(call)
            await _respond_all(call, serve_stream(call.requests(), call))

        return stream
    if rpc.response_streaming:
        serve_parts: Any = rpc.unary_stream

        async def parts(call: Call) -> None:
            await _respond_all(call, serve_parts(decoded(call), call))

        return parts
    serve_one: Any = rpc.unary_unary

    def one(call: Call) -> Awaitable[object]:
        answer: Awaitable[object] = serve_one(decoded(call), call)
        return answer

    return one


async def _respond_all(call: Call, responses: Any) -> None:
    # Closed whatever happens: a generator left at a yield would keep what it holds until it is collected.
    async with aclosing(responses) as messages:
        async for message in messages:
            await call.respond(message)


def _encoding(serialize: Callable[[Any], bytes] | None, traffic: Traffic) -> Callable[[Any], bytes] | None:
    """The serializer, which counts what is sent; what a handler has encoded itself is sent as it is, so that chunks are
    copied once."""
    if serialize is None:
        return None

    def encode(message: Any) -> bytes:
        data: bytes = message if type(message) is bytes else serialize(message)
        traffic.sent_messages += 1
        traffic.sent_bytes += len(data)
        return data

    return encode


def _without_requests(serve: Served) -> Served:
    """The call reads its requests itself, and has no use for grpc's iterator."""

    async def serve_stream(_requests: object, context: Any) -> object:
        return await serve(None, context)

    return serve_stream
