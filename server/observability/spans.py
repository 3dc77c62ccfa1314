"""Spans as the rest of the service knows them; `tracing`, which makes them, is imported only where traces are on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol


class Spans(Protocol):
    """Makes spans of parts of the work."""

    def span(self, name: str) -> AbstractContextManager[None]:
        """A span of what is done within it: below that of the call it is done for; alone where there is no call, and
        then sampled by itself. Never fails."""
        ...


class CallSpans(Spans, Protocol):
    """Makes spans of calls. Lives on the event loop; nothing of it fails or waits."""

    def begin_call(self, method: str, traceparent: Callable[[], str]) -> None:
        """Begin the span of the call that this task serves, if it is sampled.

        `traceparent` gives what the client sent as such, or ''.
        """
        ...

    def end_call(self, code: str, kind: str, reason: str, request_id: str) -> None:
        """End it with the call's status, the kind of its caller, the error's reason and the call's id."""
        ...


class _NoSpans:
    """Where traces are off."""

    def __init__(self) -> None:
        self._nothing = nullcontext()

    def span(self, name: str) -> AbstractContextManager[None]:
        return self._nothing


NO_SPANS: Final[Spans] = _NoSpans()
