"""What can go wrong with a call, as typed errors made from the service's google.rpc details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.rpc import error_details_pb2, status_pb2

if TYPE_CHECKING:
    from extaudit_client.searches import MissingPart


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


class InvalidRequest(ExtauditError):
    """The request is wrong; `violations` names every wrong field. Nothing was done."""


class InvalidPageToken(InvalidRequest):
    """The page token isn't one of this server, this caller and this query."""


class Unauthenticated(ExtauditError):
    """The service doesn't know who calls."""


class CertificateExpired(Unauthenticated):
    """The certificate has expired, or isn't valid yet; a renewed file is used for the next call."""


class TokenExpired(Unauthenticated):
    """The token has expired; the token file is read again for the next call."""


class PermissionDenied(ExtauditError):
    """No role allows the call, or one denies it."""


class Locked(PermissionDenied):
    """A lock bars the caller."""


class NotFound(ExtauditError):
    """There is no such thing, or it isn't the caller's."""


class PreconditionFailed(ExtauditError):
    """The call can't be done as things are; calling again changes nothing."""


class AlreadyExists(PreconditionFailed):
    """There is such a thing already."""


class StaleRevision(PreconditionFailed):
    """It has changed since the revision that the call named: read it again and decide anew."""


class AmbiguousUid(PreconditionFailed):
    """Several events have the uid: name one by its digest or position."""


class UploadNotOpen(PreconditionFailed):
    """The upload isn't open any more."""


class UploadTakenUp(PreconditionFailed):
    """Another stream has taken the upload up."""


class RecordingMismatch(PreconditionFailed):
    """What arrived isn't what the size or digest of the request says."""


class Exhausted(ExtauditError):
    """The service, or the caller's share of it, has no room for this now; `retry_after` may say when it will."""


class RateLimited(Exhausted):
    """The caller calls or emits faster, or has more calls open, than its limit."""


class DataLoss(ExtauditError):
    """What is kept isn't what was taken. Nothing of what has changed is given."""


class Unavailable(ExtauditError):
    """The service can't do this now; it may later. What was asked for is not done, or not known to be."""


class TimedOut(ExtauditError):
    """The time for the call ran out. What was asked for is not done, or not known to be."""


class Unsupported(ExtauditError):
    """The service has no such method."""


class ServiceFault(ExtauditError):
    """A fault of the service; the message names the request id that its log has."""


class ConnectionFailed(ExtauditError):
    """No service could be talked to; the message is one line with the likely cause."""

    def __init__(self, message: str, code: str = "UNAVAILABLE") -> None:
        super().__init__(code, "", message)


class IncompleteAnswer(ExtauditError):
    """Rows were given, but not all there are; `missing` names the rest."""

    def __init__(self, missing: Sequence[MissingPart]) -> None:
        super().__init__("DATA_LOSS", "", f"the answer is incomplete: {len(missing)} parts are missing")
        self.missing = tuple(missing)


BY_REASON: Final[Mapping[str, type[ExtauditError]]] = MappingProxyType(
    {
        "INVALID_REQUEST": InvalidRequest,
        "UNAUTHENTICATED": Unauthenticated,
        "CERTIFICATE_EXPIRED": CertificateExpired,
        "ACCESS_DENIED": PermissionDenied,
        "NOT_FOUND": NotFound,
        "AMBIGUOUS_UID": AmbiguousUid,
        "INVALID_PAGE_TOKEN": InvalidPageToken,
        "ENGINE_UNAVAILABLE": PreconditionFailed,
        "JOURNAL_FULL": Exhausted,
        "DISK_FLOOR": Exhausted,
        "JOURNAL_CLOSED": Unavailable,
        "STOPPING": Unavailable,
        "OVERLOADED": Exhausted,
        "INTERNAL": ServiceFault,
        "DEADLINE_EXCEEDED": TimedOut,
        "UNIMPLEMENTED": Unsupported,
        "STORAGE_UNAVAILABLE": Unavailable,
        "LOCKED": Locked,
        "LOCK_HITS_CALLER": PreconditionFailed,
        "TOO_MANY_LOCKS": Exhausted,
        "RATE_LIMIT": RateLimited,
        "CONCURRENCY_LIMIT": RateLimited,
        "STATE_UNAVAILABLE": Unavailable,
        "TOKEN_EXPIRED": TokenExpired,
        "TOKEN_NOT_ACCEPTED": Unauthenticated,
        "TOKEN_KEYS_UNAVAILABLE": Unavailable,
        "UPLOAD_NOT_OPEN": UploadNotOpen,
        "UPLOAD_TAKEN_UP": UploadTakenUp,
        "CHUNK_GAP": PreconditionFailed,
        "RECORDING_TOO_LARGE": Exhausted,
        "RECORDING_MISMATCH": RecordingMismatch,
        "RECORDING_DAMAGED": DataLoss,
        "TOO_MANY_UPLOADS": Exhausted,
        "ALREADY_EXISTS": AlreadyExists,
        "STALE_REVISION": StaleRevision,
        "INTEGRATION_IN_USE": PreconditionFailed,
        "TEST_NOT_PASSED": PreconditionFailed,
        "NO_EXTERNAL_STORAGE": NotFound,
        "NO_ISSUER": PreconditionFailed,
        "UPLOAD_NOT_READABLE": PreconditionFailed,
        "RECORDING_EXPIRED": PreconditionFailed,
        "OBJECT_ARCHIVED": PreconditionFailed,
        "KEY_NOT_PUBLISHED": PreconditionFailed,
        "ACCOUNT_CHANGED": PreconditionFailed,
        "DRAFT_INVALID": PreconditionFailed,
        "SWITCH_UNAVAILABLE": PreconditionFailed,
        "STORAGE_ACTIVE": PreconditionFailed,
        "AWS_UNAVAILABLE": Unavailable,
        "QUERY_BUDGET_SPENT": Exhausted,
    }
)
"""Every reason of the proto enum ErrorReason, without its prefix; a test holds the two equal."""

_BY_CODE: Final[Mapping[str, type[ExtauditError]]] = MappingProxyType(
    {
        "INVALID_ARGUMENT": InvalidRequest,
        "OUT_OF_RANGE": InvalidRequest,
        "UNAUTHENTICATED": Unauthenticated,
        "PERMISSION_DENIED": PermissionDenied,
        "NOT_FOUND": NotFound,
        "FAILED_PRECONDITION": PreconditionFailed,
        "ABORTED": StaleRevision,
        "ALREADY_EXISTS": AlreadyExists,
        "RESOURCE_EXHAUSTED": Exhausted,
        "DATA_LOSS": DataLoss,
        "UNAVAILABLE": Unavailable,
        "DEADLINE_EXCEEDED": TimedOut,
        "UNIMPLEMENTED": Unsupported,
        "INTERNAL": ServiceFault,
        "UNKNOWN": ServiceFault,
    }
)
_DETAILS_KEY: Final = "grpc-status-details-bin"
_DOMAIN: Final = "extaudit"


def class_of(code: str, reason: str) -> type[ExtauditError]:
    """The class of an error; of a reason that this client doesn't know, the one of its code."""
    return BY_REASON.get(reason) or _BY_CODE.get(code, ExtauditError)


def from_rpc(error: grpc.RpcError) -> ExtauditError:
    """Translate a failed call; details that aren't there or can't be read leave the members empty."""
    if not isinstance(error, (grpc.Call, grpc.aio.AioRpcError)):
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
    name = error.code().name
    return class_of(name, reason)(name, reason, error.details() or "", violations, retry_after)


def _details(call: grpc.Call | grpc.aio.AioRpcError) -> list[error_details_pb2.ErrorInfo]:
    metadata: Any = call.trailing_metadata()
    for key, value in metadata or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return list(status_pb2.Status.FromString(value).details)
            except ValueError:  # protobuf's DecodeError is one
                return []
    return []
