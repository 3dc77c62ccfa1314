"""Why a stream of asyncio ended, where gRPC has forgotten it.

A write that fails because the service has ended the stream puts a status of gRPC's own in place of the service's
(github.com/grpc/grpc/issues/36066). The service is then asked once more, with a stream over which nothing is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import grpc

from extaudit_client.errors import ExtauditError, Unavailable, from_rpc

_OF_GRPC: Final = "Internal error from Core"
_SECONDS: Final = 2.0


async def reason_of(error: grpc.RpcError, open_call: Callable[[], Any]) -> ExtauditError:
    """Translate why a stream ended; a reason that is lost is asked for by opening another one."""
    told = from_rpc(error)
    if told.code != "INTERNAL" or told.message != _OF_GRPC:
        return told
    call = open_call()
    reading = asyncio.ensure_future(call.read())
    try:
        await asyncio.wait({reading}, timeout=_SECONDS)
    finally:
        reading.cancel()
        found = await asyncio.gather(reading, return_exceptions=True)
        call.cancel()
    if isinstance(found[0], grpc.RpcError):
        return from_rpc(found[0])
    # It takes streams, so that the same may go well now.
    return Unavailable("UNAVAILABLE", "", "the service ended the stream while something was sent", retry_after=0.0)
