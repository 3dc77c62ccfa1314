"""What one identity may take of the service: calls and events a second, calls and streams under way."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from server.errors import ResourceExhausted
from server.grpc_api.call import Call, Check

MAX_IDENTITIES = 10_000
"""Identities that are remembered; beyond them those that have been quiet for longest are forgotten."""
CONCURRENCY_RETRY_SECONDS = 1.0
_EVICTED_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class IdentityLimits:
    """Bounds of each identity; None for no bound. A second's worth of a rate may come at once."""

    calls_per_second: int | None = None
    events_per_second: int | None = None
    concurrent_calls: int | None = None
    """Calls under way that don't stream."""
    concurrent_streams: int | None = None


class Bucket:
    """A token bucket that holds one second's worth. What costs more than that needs a full one and leaves a debt."""

    __slots__ = ("_at", "_rate", "_tokens")

    def __init__(self, rate: int, now: float) -> None:
        self._rate = rate
        self._tokens = float(rate)
        self._at = now

    def take(self, cost: int, now: float) -> float:
        """Take tokens; gives 0, or the seconds until there will be enough, and then nothing is taken."""
        tokens = min(self._rate, self._tokens + (now - self._at) * self._rate)
        self._tokens, self._at = tokens, now
        needed = min(cost, self._rate)
        if tokens < needed:
            return (needed - tokens) / self._rate
        self._tokens = tokens - cost
        return 0.0


class _Usage:
    """What one identity has under way, and its buckets."""

    __slots__ = ("_clock", "calls", "calls_open", "events", "streams_open")

    def __init__(self, limits: IdentityLimits, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.calls_open = 0
        self.streams_open = 0
        self.calls: Bucket | None = None
        self.events: Bucket | None = None
        self.hold_to(limits)

    @property
    def idle(self) -> bool:
        return not self.calls_open and not self.streams_open

    def hold_to(self, limits: IdentityLimits) -> None:
        """Begin anew with these rates; what is under way stays counted."""
        self.calls = self._bucket(limits.calls_per_second)
        self.events = self._bucket(limits.events_per_second)

    def _bucket(self, rate: int | None) -> Bucket | None:
        return Bucket(rate, self._clock()) if rate else None

    def spend_events(self, count: int) -> None:
        """Take events from the bucket."""
        if self.events is not None and (wait := self.events.take(count, self._clock())):
            raise _too_fast("events", "limits.events_per_second", wait)

    def end_call(self) -> None:
        self.calls_open -= 1

    def end_stream(self) -> None:
        self.streams_open -= 1

    def spend_call(self) -> None:
        if self.calls is not None and (wait := self.calls.take(1, self._clock())):
            raise _too_fast("calls", "limits.calls_per_second", wait)


class IdentityLimiter:
    """Holds every identity to the same limits. Lives on the event loop."""

    def __init__(self, limits: IdentityLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._usages: OrderedDict[tuple[str, str, str], _Usage] = OrderedDict()

    @property
    def remembered(self) -> int:
        """How many identities are remembered."""
        return len(self._usages)

    def hold_to(self, limits: IdentityLimits) -> None:
        """Hold everybody to other limits from now on; what is under way stays, and counts."""
        self._limits = limits
        for usage in self._usages.values():
            usage.hold_to(limits)

    def steps(self, *, streams: bool) -> tuple[Check, ...]:
        """What lets a call in, up to its end, or refuses it.

        `streams` says which of the two bounds on calls under way it counts for.
        """
        return (self._let_stream_in if streams else self._let_call_in,)

    def _let_call_in(self, call: Call) -> None:
        usage, limit = self._usage(call), self._limits.concurrent_calls
        if limit is not None and usage.calls_open >= limit:
            raise _too_many("calls", "limits.concurrent_calls")
        usage.spend_call()
        usage.calls_open += 1
        call.at_end(usage.end_call)

    def _let_stream_in(self, call: Call) -> None:
        usage, limit = self._usage(call), self._limits.concurrent_streams
        if limit is not None and usage.streams_open >= limit:
            raise _too_many("streams", "limits.concurrent_streams")
        usage.spend_call()
        usage.streams_open += 1
        call.at_end(usage.end_stream)

    def _usage(self, call: Call) -> _Usage:
        key = call.access.identity.key
        usage = self._usages.get(key)
        if usage is None:
            self._evict()
            usage = self._usages[key] = _Usage(self._limits, self._clock)
        else:
            self._usages.move_to_end(key)
        call.spend_events = usage.spend_events
        return usage

    def _evict(self) -> None:
        """Forget the quietest identity where there are too many; who has calls under way is not forgotten."""
        usages = self._usages
        for _ in range(_EVICTED_AT_ONCE):
            if len(usages) < MAX_IDENTITIES:
                return
            key, usage = usages.popitem(last=False)
            if not usage.idle:
                usages[key] = usage


def _too_fast(what: str, limit: str, wait: float) -> ResourceExhausted:
    message = f"too many {what} a second; try again later"
    return ResourceExhausted(message, reason="RATE_LIMIT", retry_after=wait + 0.001, limit=limit)


def _too_many(what: str, limit: str) -> ResourceExhausted:
    message = f"you have too many {what} under way; end some or try again later"
    return ResourceExhausted(message, reason="CONCURRENCY_LIMIT", retry_after=CONCURRENCY_RETRY_SECONDS, limit=limit)
