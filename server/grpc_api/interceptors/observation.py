"""The access log and the metrics, which see the final status of every call."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from rbac.identities import Identity
from server.audit_log.access import Access
from server.audit_log.denials import Refusal
from server.grpc_api.call import Call
from server.grpc_api.use_cases import Denials
from server.observability.call_metrics import NOBODY, CallMetrics

_LOG = logging.getLogger(__name__)
_REFUSALS = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED"})
_EMITS = frozenset({"/extaudit.v1.AuditLogService/EmitEvent", "/extaudit.v1.AuditLogService/EmitEvents"})

_EXPIRED = frozenset({"CERTIFICATE_EXPIRED", "TOKEN_EXPIRED"})


class CallRecord(NamedTuple):
    """One finished call."""

    method: str
    """Full name, or `unknown`: few enough for a metric's label."""
    code: str
    """Name of the status code; `CANCELLED` when the client went away."""
    reason: str
    """Reason of the error; '' without one."""
    seconds: float
    request_id: str
    peer: str
    identity: Identity | None
    hidden: str = ""
    """Why it was refused, where the caller isn't told."""


class CallObserver(Protocol):
    """Is told of every call when it has ended: metrics, denial events."""

    def finished(self, record: CallRecord) -> None:
        """Take note, quickly: it is called on the loop."""
        ...


class AccessLog:
    """Logs every call. An emit that went well is only logged at level debug, as its receipt says the same for good."""

    def finished(self, record: CallRecord) -> None:
        """Log the call."""
        level = logging.DEBUG if record.code == "OK" and record.method in _EMITS else logging.INFO
        if not _LOG.isEnabledFor(level):
            return
        identity = record.identity
        fields = {
            "method": record.method,
            "code": record.code,
            "reason": record.reason,
            "seconds": round(record.seconds, 6),
            "peer": record.peer,
            "identity_kind": identity.kind.value if identity else "",
            "identity_name": identity.name if identity else "",
        }
        _LOG.log(level, "call", extra={"fields": fields})


class CallMeter:
    """Counts every call in the metrics, and refusals by what refused."""

    def __init__(self, metrics: CallMetrics) -> None:
        self._metrics = metrics

    def finished(self, record: CallRecord) -> None:
        """Count the call."""
        kind = record.identity.kind.value if record.identity is not None else NOBODY
        self._metrics.ended(record.method, record.code, record.seconds, kind, record.reason)
        if record.code == "PERMISSION_DENIED":
            self._metrics.denied(record.method)
        elif record.code == "UNAUTHENTICATED":
            self._metrics.unauthenticated(expired=record.reason in _EXPIRED)


class RefusalObserver:
    """Tells the self-audit of every refused call of a known identity; without an identity there is no event."""

    def __init__(self, denials: Denials) -> None:
        self._denials = denials

    def finished(self, record: CallRecord) -> None:
        """Take note of the call, if it was refused."""
        if record.identity is not None and (record.code in _REFUSALS or record.hidden):
            access = Access(record.identity, record.peer, record.request_id)
            self._denials.refused(access, Refusal(record.method, record.code, record.reason, record.hidden))


def tell(observers: Sequence[CallObserver], call: Call, seconds: float) -> None:
    """Tell the observers how a call has ended."""
    identity, request_id = call.identity, call.request_id
    record = CallRecord(call.method, call.code, call.reason, seconds, request_id, call.peer, identity, call.hidden)
    for observer in observers:
        observer.finished(record)
