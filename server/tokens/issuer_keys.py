"""The keys of one issuer that count now: fetched again and again, and dropped when they can't be."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

from server.tokens.jwks import JwksProblem, PublicKey, read_jwks

REFRESH_SECONDS = 240.0
"""Several attempts in a row may fail before MAX_AGE_SECONDS are over."""
RETRY_SECONDS = 30.0
MAX_AGE_SECONDS = 590.0
"""From the beginning of the last fetch that went well: then no key counts any more, as one may have vanished. With a
fetch's own time a vanished key is dropped within 10 minutes whatever happens."""
UNKNOWN_KEY_SECONDS = 30.0
"""Between two fetches that a token with an unknown key id asks for."""
UNKNOWN_KEY_WAIT_SECONDS = 5.0
MAX_WAITING = 64
"""Calls that wait for such a fetch; others are refused at once, so that a slow issuer takes no more of the service."""

_log = logging.getLogger(__name__)


class JwksSource(Protocol):
    """Where an issuer's key set comes from."""

    async def read(self) -> bytes:
        """The key set as it is now.

        Raises:
            JwksProblem: it can't be had in time, or is too large.
        """
        ...


class KeySetTrace(Protocol):
    """Is told, once each, what becomes of an issuer's keys; takes note at once and never raises."""

    def key_set_reloaded(self, issuer: str, key_ids: Sequence[str]) -> None:
        """Other keys count, or the same could be fetched again after they could not."""
        ...

    def key_set_refused(self, issuer: str, key_ids: Sequence[str], reason: str) -> None:
        """They can't be fetched, for another reason than the last time; those of these ids still count."""
        ...

    def key_set_expired(self, issuer: str, key_ids: Sequence[str]) -> None:
        """Those of these ids count no longer, as they could not be fetched again for too long."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class HeldKey:
    """A key that counts or has counted. One that vanished and came back is another: compare by identity."""

    key: PublicKey
    generation: int


class KeysState(NamedTuple):
    """How an issuer's keys are, for status and metrics."""

    issuer: str
    key_ids: tuple[str, ...]
    fetched_ms: int | None
    """Begin of the last fetch that went well, ms since 1970; None before the first."""
    problem: str
    """Why the last fetch failed; '' if it went well."""


class IssuerKeys:
    """Lives on the event loop. `run` keeps the keys fresh; look-ups never wait."""

    def __init__(
        self,
        issuer: str,
        source: JwksSource,
        trace: KeySetTrace,
        *,
        refresh_seconds: float = REFRESH_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuer = issuer
        self._source = source
        self._trace = trace
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._held: Mapping[str, tuple[HeldKey, ...]] = MappingProxyType({})
        self._generation = 0
        self._fresh_until = float("-inf")
        self._fetched_ms: int | None = None
        self._problem = "not fetched yet"
        self._expiry_told = True
        self._asked_for_unknown = float("-inf")
        self._fetch: asyncio.Task[None] | None = None
        self._waiting = 0

    @property
    def stale(self) -> bool:
        """Whether the last good fetch is so long ago that none of its keys counts."""
        return self._clock() >= self._fresh_until

    def find(self, key_id: str) -> tuple[HeldKey, ...]:
        """The keys of this id that count now."""
        return () if self.stale else self._held.get(key_id, ())

    def holds(self, held: HeldKey) -> bool:
        """Whether the key still counts."""
        return any(held is each for each in self.find(held.key.key_id))

    def state(self) -> KeysState:
        """How the keys are."""
        ids = () if self.stale else tuple(sorted(self._held))
        return KeysState(self.issuer, ids, self._fetched_ms, self._problem)

    async def ask_for(self, key_id: str) -> None:
        """Fetch anew as a token names an unknown key; not more often than every UNKNOWN_KEY_SECONDS.

        Returns once the key is known or the fetch is over, at once where there is none or too many wait for it.
        """
        now = self._clock()
        if self._fetch is None and now - self._asked_for_unknown >= UNKNOWN_KEY_SECONDS:
            self._asked_for_unknown = now
            self._begin_fetch()
        if self._fetch is None or self._waiting >= MAX_WAITING or self.find(key_id):
            return
        self._waiting += 1
        try:
            with contextlib.suppress(TimeoutError):
                # Shielded: the fetch serves the others that wait, and the key set, whatever becomes of this call.
                await asyncio.wait_for(asyncio.shield(self._fetch), UNKNOWN_KEY_WAIT_SECONDS)
        finally:
            self._waiting -= 1

    async def refresh(self) -> None:
        """Fetch now, or wait for the fetch that is under way. Never raises for what the issuer does."""
        if self._fetch is None:
            self._begin_fetch()
        if self._fetch is not None:
            await asyncio.shield(self._fetch)

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            await asyncio.sleep(self._pause())
            await self.refresh()

    def _pause(self) -> float:
        """Seconds until the next fetch: one comes when the keys would be too old, so that this is told at once."""
        pause = min(RETRY_SECONDS, self._refresh_seconds) if self._problem else self._refresh_seconds
        left = self._fresh_until - self._clock()
        return min(pause, left) if left > 0 else pause

    def _begin_fetch(self) -> None:
        self._fetch = asyncio.create_task(self._fetch_once(), name="jwks")

    async def _fetch_once(self) -> None:
        begun, begun_ms = self._clock(), time.time_ns() // 1_000_000
        told = not self._problem and not self.stale
        try:
            keys = read_jwks(await self._source.read())
        except JwksProblem as problem:
            self._failed(str(problem))
        except Exception as error:
            # Whatever an issuer's server can make the libraries raise: it must not end the service, which it would as
            # one of the service's tasks waits for this.
            self._failed("the key set can't be read", error)
        else:
            self._problem, self._expiry_told = "", False
            self._fresh_until, self._fetched_ms = begun + MAX_AGE_SECONDS, begun_ms
            if self._take(keys) or not told:
                ids = sorted(self._held)
                _log.info("an issuer's keys have changed", extra={"fields": self._fields(keys=ids)})
                self._trace.key_set_reloaded(self.issuer, ids)
        finally:
            self._fetch = None

    def _take(self, keys: tuple[PublicKey, ...]) -> bool:
        """Put the fetched keys in place; what was held before stays the same key. Says whether they are others."""
        before = {each.key: each for held in self._held.values() for each in held}
        found: dict[str, tuple[HeldKey, ...]] = {}
        self._generation += 1
        for key in dict.fromkeys(keys):
            held = before.get(key) or HeldKey(key, self._generation)
            found[key.key_id] = (*found.get(key.key_id, ()), held)
        self._held = MappingProxyType(found)
        return before.keys() != set(keys)

    def _failed(self, problem: str, fault: Exception | None = None) -> None:
        if problem != self._problem:
            fields = self._fields(reason=problem)
            _log.error("an issuer's keys can't be fetched", exc_info=fault, extra={"fields": fields})
            self._trace.key_set_refused(self.issuer, self.state().key_ids, problem)
        self._problem = problem
        if self.stale and not self._expiry_told:
            self._expiry_told = True
            ids = sorted(self._held)
            _log.error("an issuer's keys count no longer", extra={"fields": self._fields(keys=ids)})
            self._trace.key_set_expired(self.issuer, ids)

    def _fields(self, **more: object) -> dict[str, object]:
        return {"issuer": self.issuer, **more}
