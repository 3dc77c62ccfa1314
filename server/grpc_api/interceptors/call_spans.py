"""The span of every call, where traces are on."""

from __future__ import annotations

from server.grpc_api.call import Call
from server.grpc_api.interceptors.observation import CallRecord
from server.observability.call_metrics import NOBODY
from server.observability.spans import CallSpans

_MAX_CHARACTERS = 64
"""A traceparent has 55; what is longer is none."""


class CallTracer:
    """Begins and ends the span; a step of every call, and an observer."""

    def __init__(self, spans: CallSpans) -> None:
        self._spans = spans

    def begin(self, call: Call) -> None:
        """Begin the call's span, if it is sampled."""
        self._spans.begin_call(call.method, lambda: _traceparent(call))

    def finished(self, record: CallRecord) -> None:
        """End it."""
        kind = record.identity.kind.value if record.identity is not None else NOBODY
        self._spans.end_call(record.code, kind, record.reason, record.request_id)


def _traceparent(call: Call) -> str:
    """What the client sent as such, once; else ''."""
    found = [value for name, value in call.metadata if name == "traceparent"]
    if len(found) != 1 or not isinstance(found[0], str) or len(found[0]) > _MAX_CHARACTERS:
        return ""
    return found[0]
