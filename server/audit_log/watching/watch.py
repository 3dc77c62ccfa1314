"""One watch: from look to look, what its watcher is told, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from server.audit_log.access import Access
from server.audit_log.commit_notice import CommitNotice
from server.audit_log.search.gaps import told
from server.audit_log.search.query import EventFilter, Missing
from server.audit_log.search.rights import condition_of
from server.audit_log.watching.log_parts import Selection
from server.audit_log.watching.look import Look
from server.audit_log.watching.query import Place, Watched
from server.observability.watch_metrics import WatchMetrics
from server.storage.matching import Matcher, compile_filters

_LONGEST_REST = 0.1
"""Seconds between two looks of a watch that finds nothing in a busy log: the next event it wants waits no longer."""
_REMEMBERED = 10_000
"""Missing parts that are remembered so that none is named twice; beyond them some may be."""


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """Bounds of watching, in watches and seconds."""

    watches: int = 500
    heartbeat_seconds: float = 15.0
    look_seconds: float = 0.01
    """Between two looks of a watch that is caught up, however much is committed; at least."""
    looks_per_second: float = 2000.0
    """Of all watches together, about."""

    def pause(self, watches: int) -> float:
        """Seconds between two looks of each of so many watches that are caught up."""
        return max(self.look_seconds, watches / self.looks_per_second)


class Watch:
    """Gives one watcher what it asked for, as it asks for it. Nothing waits in memory for a watcher that doesn't."""

    def __init__(
        self,
        access: Callable[[], Access],
        wanted: EventFilter,
        start: Place,
        look: Callable[[Place, Selection, Matcher], Awaitable[Look]],
        notice: CommitNotice,
        heartbeat_seconds: float,
        pause: Callable[[], float],
        metrics: WatchMetrics,
        ended: Callable[[Watch], None],
    ) -> None:
        """`access` gives the rights as of now, or raises what ends the watch; `pause` the seconds to the next look once
        it is caught up; `ended` is called once, at the end."""
        self._access = access
        self.caller = access()
        """The caller, as it was when it was looked at last."""
        self._wanted = wanted
        self._take_condition()
        self.start = start
        self.place = start
        """How far everything was looked at."""
        self.given = 0
        """How many events were given."""
        self._look = look
        self._notice = notice
        self._heartbeat_seconds = heartbeat_seconds
        self._pause = pause
        self._metrics = metrics
        self._when_ended = ended
        self._closed = self._ending = False
        self._told_caught_up = False
        self._named: set[Missing] = set()
        self._next_look = self._next_answer = 0.0
        self._rest = pause()

    async def next(self) -> Watched | None:
        """What the watcher is to be told next; None once it was told to end.

        Raises:
            AuditStoreError: the rights are lost, or a storage can't be read now.
        """
        loop = asyncio.get_running_loop()
        while not self._ending:
            await asyncio.sleep(max(0.0, self._next_look - loop.time()))
            if self._ending:
                break  # told while it rested: whoever reads the count now would never hear of it
            count = self._notice.count
            self._take_rights()
            look = await self._look(self.place, self._selection, self._matches)
            if self._take_rights():
                continue  # what was found may be more than the caller may see by now
            missing = self._not_named(look)
            self.place = look.place
            self._rest = self._pause() if look.events else min(2 * self._rest, max(self._pause(), _LONGEST_REST))
            self._next_look = loop.time() + self._rest if look.caught_up else 0.0
            begins = look.caught_up and not self._told_caught_up
            if look.events or missing or begins or loop.time() >= self._next_answer:
                self._told_caught_up = look.caught_up
                self._next_answer = loop.time() + self._heartbeat_seconds
                self.given += len(look.events)
                self._metrics.given(len(look.events), len(missing))
                place = {log_id: done for log_id, done in look.place.items() if done}
                return Watched(look.events, place, look.caught_up, missing, look.encoded)
            if look.caught_up:
                await self._notice.after(count, self._next_answer - loop.time())
        return None

    def end(self) -> None:
        """Have `next` give None, at once where it waits."""
        self._ending = True
        self._notice.tell()

    def close(self) -> None:
        """Take note that the watcher has gone."""
        if not self._closed:
            self._closed = True
            self._when_ended(self)

    def _take_rights(self) -> bool:
        """Look from here on at what the caller may see now; gives whether that is something else than before."""
        access, before = self._access(), self.caller.condition
        self.caller = access
        if access.condition == before:
            return False
        self._take_condition()
        return True

    def _take_condition(self) -> None:
        filters = replace(self._wanted.filters, condition=condition_of(self.caller))
        self._sees_all = filters.condition is None
        self._selection, self._matches = Selection(replace(self._wanted, filters=filters)), compile_filters(filters)

    def _not_named(self, look: Look) -> list[Missing]:
        """What is missing that the watcher wasn't told of; one after the other also where no names are told."""
        new = [part for part in dict.fromkeys(look.missing) if part not in self._named]
        if len(self._named) + len(new) > _REMEMBERED:
            self._named.clear()
        self._named.update(new)
        return told(new, sees_all=self._sees_all)
