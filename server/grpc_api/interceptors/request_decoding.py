"""Decodes the request, only for callers who may call. What is in it the servicers check, before any use case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from server.errors import InvalidRequest, Violation
from server.grpc_api.call import Call


def decoding(decode: Callable[[bytes], Any], max_bytes: int | None) -> Callable[[Call], Any]:
    """What gives a call's request message; `max_bytes`: None for no bound here.

    Of a call that streams requests it gives nothing: they are decoded as they are read.
    """

    def decoded(call: Call) -> Any:
        call.decode = decode
        data = call.request
        if data is None:
            return None
        if max_bytes is not None and len(data) > max_bytes:
            raise InvalidRequest([Violation("request", f"must be at most {max_bytes} bytes")])
        return call.decoded(data)

    return decoded
