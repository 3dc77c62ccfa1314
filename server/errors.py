"""The errors use cases and adapters raise; only the transports know their status codes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with one field of a request."""

    field: str
    description: str


class AuditStoreError(Exception):
    """Base of all errors that a caller may see.

    `reason` is a name of the proto enum ErrorReason without its prefix; `message` is shown to the caller, so it holds
    no path, secret or text of a library; `metadata` holds every variable of the message. `hidden` is the real reason
    where the answer must not give it: the audit event of the denial does. Who was refused may be able to read that:
    what they mustn't learn at all is in `for_log`, which the service's own log alone has.
    """

    reason = "INTERNAL"

    def __init__(
        self, message: str, *, reason: str | None = None, hidden: str = "", for_log: str = "", **metadata: str
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hidden = hidden
        self.for_log = for_log
        self.reason = reason or type(self).reason
        self.metadata = metadata


class InvalidRequest(AuditStoreError):
    """The request is wrong; nothing was looked up or stored."""

    reason = "INVALID_REQUEST"

    def __init__(self, violations: list[Violation], *, reason: str | None = None) -> None:
        text = "; ".join(f"{v.field}: {v.description}" for v in violations[:5])
        super().__init__(text, reason=reason)
        self.violations = violations


class Unauthenticated(AuditStoreError):
    """The certificate or token gives no identity."""

    reason = "UNAUTHENTICATED"


class NotKnownYet(Unauthenticated):
    """What the caller shows isn't known. After `learn`, which may wait, it may be."""

    def __init__(self, message: str, learn: Callable[[], Awaitable[None]]) -> None:
        super().__init__(message)
        self.learn = learn


class PermissionDenied(AuditStoreError):
    """No role allows the call, or one denies it; the text is the same for both."""

    reason = "ACCESS_DENIED"


class NotFound(AuditStoreError):
    """There is no such thing, or it isn't the caller's."""

    reason = "NOT_FOUND"


class FailedPrecondition(AuditStoreError):
    """The state of the service doesn't allow the call; its reason must be given."""


class AlreadyExists(AuditStoreError):
    """There is such a thing already; it was not touched."""

    reason = "ALREADY_EXISTS"


class Aborted(AuditStoreError):
    """What was to be changed is no longer as the caller last saw it; nothing was done. Read it again."""

    reason = "STALE_REVISION"


class ResourceExhausted(AuditStoreError):
    """A quota, floor or bound is reached; worth trying again after `retry_after` seconds."""

    reason = "OVERLOADED"

    def __init__(self, message: str, *, reason: str, retry_after: float, **metadata: str) -> None:
        super().__init__(message, reason=reason, **metadata)
        self.retry_after = retry_after


class Unavailable(AuditStoreError):
    """The service can't do it now. What was asked for is not done, or not known to be."""

    reason = "STORAGE_UNAVAILABLE"

    def __init__(self, message: str, *, reason: str | None = None, retry_after: float = 1.0, **metadata: str) -> None:
        super().__init__(message, reason=reason, **metadata)
        self.retry_after = retry_after


class DeadlineExceeded(AuditStoreError):
    """The time for the call ran out before anything could be answered."""

    reason = "DEADLINE_EXCEEDED"


class DataLoss(AuditStoreError):
    """What is kept isn't what was taken; nothing of the changed part is given."""

    reason = "RECORDING_DAMAGED"
