"""Health: says serving or not, to any peer that passes TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from grpc_health.v1 import health_pb2

from server.errors import NotFound
from server.grpc_api.call import Call
from server.grpc_api.draining import Drain

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health:
    """The health servicer. All services are in one state; the empty name stands for the whole server.

    The library's own servicer answers an unknown service without details, lacks List, and keeps a stopping server
    waiting for its watchers.
    """

    def __init__(self, services: Sequence[str], drain: Drain) -> None:
        self._services = frozenset({"", *services})
        self._drain = drain
        self._serving = False
        self._changed = asyncio.Event()
        drain.subscribe(self._stop)

    def set_serving(self, serving: bool) -> None:
        """Say from now on whether the services serve; watchers are told. A stopping server doesn't serve again."""
        if serving != self._serving and not self._drain.begun:
            self._serving = serving
            self._tell()

    async def Check(self, request: health_pb2.HealthCheckRequest, _call: Call) -> health_pb2.HealthCheckResponse:  # noqa: N802
        """The state of one service.

        Raises:
            NotFound: there is no such service.
        """
        if request.service not in self._services:
            raise NotFound("there is no such service", resource_type="service")
        return self._response(request.service)

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, _call: Call
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The state of one service, and each change of it, until the server stops."""
        while True:
            changed, stopping = self._changed, self._drain.begun
            yield self._response(request.service)
            if stopping:  # and not whether it is by now: that it serves no more would then go untold
                self._drain.refuse_when_begun()
            await changed.wait()

    def _stop(self) -> None:
        self._serving = False
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _response(self, service: str) -> health_pb2.HealthCheckResponse:
        if service not in self._services:
            return health_pb2.HealthCheckResponse(status=_UNKNOWN)
        return health_pb2.HealthCheckResponse(status=_SERVING if self._serving else _NOT_SERVING)
