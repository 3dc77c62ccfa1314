"""Reflection: the descriptors of all services, for grpcurl and the like."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from grpc_reflection.v1alpha import reflection

from server.grpc_api.call import Call
from server.grpc_api.draining import Drain

METHODS = (
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
"""Both versions have the same messages on the wire; newer tools ask for v1 first, the library has v1alpha only."""


class Reflection:
    """The reflection servicer; its streams end when the server stops, as tools may leave them open for long."""

    def __init__(self, services: Sequence[str], drain: Drain) -> None:
        library: Any = reflection
        self._library = library.aio.ReflectionServicer(services)
        self._drain = drain

    async def ServerReflectionInfo(self, requests: AsyncIterator[Any], call: Call) -> AsyncIterator[Any]:  # noqa: N802
        """One answer for each request."""
        async for response in self._library.ServerReflectionInfo(self._drain.until_begun(requests), call):
            yield response
