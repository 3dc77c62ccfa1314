"""From errors to gRPC statuses: the one place that knows which error has which code and which details."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import grpc
from google.rpc import error_details_pb2, status_pb2

from server.errors import (
    Aborted,
    AlreadyExists,
    AuditStoreError,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)

DOMAIN: Final = "extaudit"
MAX_MESSAGE_CHARACTERS: Final = 512
MAX_FIELD_CHARACTERS: Final = 256
MAX_DETAILS_BYTES: Final = 4096
"""A client refuses trailing metadata above 8 KiB, message and base64 included, and then sees no reason at all."""


class UnknownMethod(AuditStoreError):
    """The service has no such method."""

    reason = "UNIMPLEMENTED"


CODES: Final[Mapping[type[AuditStoreError], grpc.StatusCode]] = MappingProxyType(
    {
        InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
        Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
        PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
        NotFound: grpc.StatusCode.NOT_FOUND,
        AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
        FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
        Aborted: grpc.StatusCode.ABORTED,
        ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
        Unavailable: grpc.StatusCode.UNAVAILABLE,
        DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
        DataLoss: grpc.StatusCode.DATA_LOSS,
        UnknownMethod: grpc.StatusCode.UNIMPLEMENTED,
    }
)


def status_of(error: Exception, request_id: str) -> tuple[grpc.StatusCode, Any]:
    """The code and the google.rpc.Status of an error. Whatever isn't in CODES is a fault, told without its text."""
    code = next((CODES[each] for each in type(error).__mro__ if each in CODES), None)
    if code is None or not isinstance(error, AuditStoreError):
        code, error = grpc.StatusCode.INTERNAL, _fault(request_id)
    status = status_pb2.Status(code=code.value[0], message=_cut(error.message, MAX_MESSAGE_CHARACTERS))
    metadata = {_cut(k): _cut(v) for k, v in error.metadata.items()}
    _add(status, error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata))
    for kind, details_of in _DETAILS.items():
        if isinstance(error, kind):
            _add(status, details_of(error))
    return code, status


def _fault(request_id: str) -> AuditStoreError:
    message = f"the service failed; its log tells more under request id {request_id}"
    return AuditStoreError(message, request_id=request_id)


def _add(status: Any, detail: Any) -> None:
    if status.ByteSize() + detail.ByteSize() + 64 <= MAX_DETAILS_BYTES:
        status.details.add().Pack(detail)


def _bad_request(error: Any) -> Any:
    """As many of the violations as fit, and how many more there are."""
    detail = error_details_pb2.BadRequest()
    room = MAX_DETAILS_BYTES - 4 * MAX_MESSAGE_CHARACTERS - 512
    for number, violation in enumerate(error.violations):
        added = detail.field_violations.add(field=_cut(violation.field), description=_cut(violation.description))
        if detail.ByteSize() > room:
            added.field = ""
            added.description = f"and {len(error.violations) - number} more"
            break
    return detail


def _resource_info(error: Any) -> Any:
    return error_details_pb2.ResourceInfo(
        resource_type=_cut(error.metadata.get("resource_type", "event")),
        resource_name=_cut(error.metadata.get("resource_name", "")),
        description=_cut(error.message),
    )


def _precondition_failure(error: Any) -> Any:
    detail = error_details_pb2.PreconditionFailure()
    detail.violations.add(type=error.reason, description=_cut(error.message))
    return detail


def _retry_info(error: Any) -> Any:
    detail = error_details_pb2.RetryInfo()
    detail.retry_delay.FromMilliseconds(round(error.retry_after * 1000))
    return detail


def _cut(text: str, characters: int = MAX_FIELD_CHARACTERS) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


_DETAILS: Final[Mapping[type[AuditStoreError], Callable[[Any], Any]]] = MappingProxyType(
    {
        InvalidRequest: _bad_request,
        NotFound: _resource_info,
        AlreadyExists: _resource_info,
        FailedPrecondition: _precondition_failure,
        ResourceExhausted: _retry_info,
        Unavailable: _retry_info,
    }
)
