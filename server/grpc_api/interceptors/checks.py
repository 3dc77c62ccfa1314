"""Runs the checks that decide about the caller: before anything of the request is decoded or looked up."""

from __future__ import annotations

from collections.abc import Sequence

from server.grpc_api.call import Call, Check, Handler


def checked(handler: Handler, checks: Sequence[Check]) -> Handler:
    """Put the checks before the handler, and leave them with the call for streams to run again."""

    async def call_checked(call: Call) -> object:
        call.checks = checks
        call.recheck()
        return await handler(call)

    return call_checked
