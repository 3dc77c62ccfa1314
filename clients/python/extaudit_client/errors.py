"""What can go wrong with a call, as typed errors made from the service's google.rpc details."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from google.rpc import error_details_pb2, status_pb2

if TYPE_CHECKING:
    from extaudit_client.searches import MissingPart

_DETAILS_KEY = "grpc-status-details-bin"
_DOMAIN = "extaudit"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with one field."""

    field: str
    description: str


class ExtauditError(Exception):
    """A call failed.

    `code` is the gRPC status code's name, such as `NOT_FOUND`; `reason` a name of the proto enum ErrorReason without
    its prefix, empty when the answer came from no extaudit service; `retry_after` is in seconds, None when the service
    didn't say.
    """

    def __init__(
        self,
        code: str,
        reason: str,
        message: str,
        violations: Sequence[Violation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.violations = tuple(violations)
        self.retry_after = retry_after


class ConnectionFailed(ExtauditError):
    """No service could be talked to; the message is one line with the likely cause."""

    def __init__(self, message: str, code: str = "UNAVAILABLE") -> None:
        super().__init__(code, "", message)


class IncompleteAnswer(ExtauditError):
    """Rows were given, but not all there are; `missing` names the rest."""

    def __init__(self, missing: Sequence[MissingPart]) -> None:
        super().__init__("DATA_LOSS", "", f"the answer is incomplete: {len(missing)} parts are missing")
        self.missing = tuple(missing)


def from_rpc(error: grpc.RpcError) -> ExtauditError:
    """Translate a failed call; details that aren't there or can't be read leave the members empty."""
    if not isinstance(error, grpc.Call):
        return ExtauditError("UNKNOWN", "", "the call failed")
    reason, violations, retry_after = "", [], None
    for detail in _details(error):
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            reason = str(info.reason) if info.domain == _DOMAIN else reason
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            request = error_details_pb2.BadRequest.FromString(detail.value)
            violations = [Violation(v.field, v.description) for v in request.field_violations]
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
            retry_after = delay.seconds + delay.nanos / 1e9
    return ExtauditError(error.code().name, reason, error.details() or "", violations, retry_after)


def _details(call: grpc.Call) -> list[error_details_pb2.ErrorInfo]:
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return list(status_pb2.Status.FromString(value).details)
            except ValueError:  # protobuf's DecodeError is one
                return []
    return []
