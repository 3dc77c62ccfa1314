"""How calls fail and what streams give, as a client sees it."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import grpc
from extaudit.v1 import error_reason_pb2
from google.rpc import error_details_pb2, status_pb2


@dataclass(frozen=True)
class Failure:
    """What a client sees of a failed call."""

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: dict[str, str]
    violations: list[str]
    retry_seconds: float | None


def failure_of(error: grpc.aio.AioRpcError) -> Failure:
    """Read the details; exactly one ErrorInfo of a documented reason must be there."""
    found = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(found["grpc-status-details-bin"])
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    infos, retry_seconds = 0, None
    for detail in status.details:
        infos += detail.Unpack(info)
        detail.Unpack(bad)
        if detail.Unpack(retry):
            retry_seconds = retry.retry_delay.ToMilliseconds() / 1000
    assert infos == 1
    assert info.domain == "extaudit"
    assert error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{info.reason}") > 0
    fields = [violation.field for violation in bad.field_violations]
    return Failure(error.code(), info.reason, status.message, dict(info.metadata), fields, retry_seconds)


async def failing(call: Awaitable[Any]) -> Failure:
    """The failure that the call must end with."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return failure_of(error)
    raise AssertionError(f"the call went well: {answer}")


async def all_of(call: Any) -> list[Any]:
    """All responses of a stream."""
    return [message async for message in call]
