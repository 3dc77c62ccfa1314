"""Decodes the request, only for callers who may call. What is in it the servicers check, before any use case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from server.errors import InvalidRequest, Violation
from server.grpc_api.call import Call, Handler


def decoded(handler: Handler, decode: Callable[[bytes], Any], max_bytes: int | None) -> Handler:
    """Decode the request; messages of a stream are decoded as they are read. `max_bytes`: None for no bound here."""

    async def call_decoded(call: Call) -> object:
        call.decode = decode
        data = call.request
        if isinstance(data, bytes):
            if max_bytes is not None and len(data) > max_bytes:
                raise InvalidRequest([Violation("request", f"must be at most {max_bytes} bytes")])
            call.request = call.decoded(data)
        return await handler(call)

    return call_decoded
