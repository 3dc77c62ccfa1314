"""Searches in recorded text, as the edge asks for them: hits of what the caller may see, each page traced.

Rights come before text: for a caller with conditions is decided first which recordings they admit, and then only these
are read. Else the time that an answer takes would tell, text by text, what is in all others.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, TypeVar

import orjson

from rbac.formulas import ALWAYS
from server.audit_log.access import Access
from server.audit_log.search.tokens import HiddenTokens
from server.audit_log.shared_places import SharedPlaces
from server.recordings.text_search.text_index import TextIndex, has_text
from server.recordings.text_search.text_query import (
    IndexedRecording,
    TextHit,
    TextPage,
    TextPosition,
    TextQuery,
    have_expired,
)

PLACES: Final = 16
"""For searches under way; they have one thread."""
_LOOKED_AT: Final = 2_000
"""Candidates that are read at once."""
_MOST_LOOKED_AT: Final = 20_000
"""Candidates for one page: behind them it ends, and the next one goes on."""
_SECONDS: Final = 20.0
"""On the thread, for one page; waiting for it doesn't count."""
_RECORDINGS: Final = 500
"""Recordings whose rights are decided at once."""
_EXPIRED: Final = 2_000
"""Expired recordings that are counted, if the caller may see them."""
_LINES: Final = 250_000
"""About so many lines are read at once, where they are read one after the other: then it is another's turn."""
_SHORT_AFTER_SECONDS: Final = 5.0
"""A page that takes longer is short where recordings are gone through."""

Answer = TypeVar("Answer")
Find = Callable[[TextPosition | None, int, float, Callable[[], bool]], list[TextHit]]
"""Finds lines beyond a position, so many at most, until a time or until nobody waits."""


class Sessions(Protocol):
    """Knows who may see what."""

    async def candidates(self, access: Access) -> Collection[str] | None:
        """The ids of all sessions that the caller may see anything of; None where that may be any."""
        ...

    async def admitted(self, access: Access, uploads: Collection[tuple[str, str]]) -> Collection[str]:
        """The ids of those uploads whose recordings the caller may see, of pairs of a session's id and an upload's."""
        ...


class SearchLog(Protocol):
    """Where the traces go."""

    async def recordings_searched(self, access: Access, filters: Mapping[str, object], **members: object) -> None:
        """Leave the trace of one page.

        Raises:
            Unavailable: it couldn't be journalled; the page must not leave.
        """
        ...


class TextSearch:
    """The use case. Lives on the event loop; the index is read on `threads`."""

    def __init__(
        self,
        index: TextIndex,
        missing: Callable[[TextQuery, bool], tuple[str, ...]],
        sessions: Sessions,
        log: SearchLog,
        key: bytes,
        threads: Executor,
    ) -> None:
        """`missing` says what the index misses for a query, with names of sessions or without; it blocks."""
        self._index = index
        self._missing = missing
        self._sessions = sessions
        self._log = log
        self._tokens = HiddenTokens(key)
        self._threads = threads
        self._places = SharedPlaces(PLACES, "too many searches are waiting")

    async def search(self, access: Access, query: TextQuery) -> TextPage:
        """One page of the lines that have the text, in recordings that the caller may see. It may be short, or empty.

        Raises:
            InvalidRequest: the page token is wrong.
            ResourceExhausted: too many search, of all or of the caller. DeadlineExceeded: it takes too long.
            Unavailable: it can't be read, or not traced, now.
        """
        given_up = threading.Event()
        with self._places.place(access.identity):
            try:
                page = await self._page(access, query, given_up.is_set)
            finally:
                given_up.set()  # whoever broke off leaves the thread to others
        await self._log.recordings_searched(
            access,
            _filters(query),
            first_page=not query.page_token,
            rows=len(page.hits),
            complete=not page.missing,
        )
        return page

    async def _page(self, access: Access, query: TextQuery, is_given_up: Callable[[], bool]) -> TextPage:
        after = self._after(access, query)
        sees_all = access.condition == ALWAYS
        # Asked before the hits are read: what is indexed meanwhile may be in them, and is told as missing all the same.
        missing = await self._on_thread(lambda: self._missing(query, sees_all))
        page = _Reading(query, is_given_up)
        if sees_all:
            end = await self._read(page, after, partial(self._index.find, query))
        else:
            sessions = await self._sessions.candidates(access)
            missing += await self._expired(access, query, sessions)
            end = await self._read_admitted(access, page, after, sessions)
        token = "" if end is None else self._token(access, query, end)
        return TextPage(tuple(page.hits), token, missing)

    async def _expired(self, access: Access, query: TextQuery, sessions: Collection[str] | None) -> tuple[str, ...]:
        """That recordings have expired, of those that the caller may see, and of these the newest."""
        gone = await self._on_thread(partial(self._index.expired_of, query, _EXPIRED, sessions))
        admitted = await self._sessions.admitted(access, gone)
        return (have_expired(len(admitted)),) if admitted else ()

    async def _read_admitted(
        self, access: Access, page: _Reading, after: TextPosition | None, sessions: Collection[str] | None
    ) -> TextPosition | None:
        """As `_read`, in recordings that the caller may see, all of them in `sessions` if some are given."""
        short_after = time.monotonic() + _SHORT_AFTER_SECONDS
        while True:
            recordings = await self._on_thread(
                partial(self._index.recordings, page.query, after, _RECORDINGS, sessions)
            )
            admitted = await self._sessions.admitted(access, [(each.session_id, each.upload_id) for each in recordings])
            seen = [each for each in recordings if each.upload_id in admitted]
            for some in _pieces(seen):
                end = await self._read(page, after, partial(self._index.find_in, some, page.query.text))
                if end is not None:
                    return end
                after = some[-1].end
                if time.monotonic() > short_after:
                    return after
            if len(recordings) < _RECORDINGS:
                return None
            after = recordings[-1].end
            if time.monotonic() > short_after:
                return after

    async def _read(self, page: _Reading, after: TextPosition | None, find: Find) -> TextPosition | None:
        """Fill a page with what is found; gives where the next one goes on, None at the end."""
        while page.looked_at < _MOST_LOOKED_AT:
            found = await self._on_thread(partial(page.timed, partial(find, after, _LOOKED_AT)))
            for hit in found:
                after = hit.position
                if has_text(hit, page.query.text):
                    page.hits.append(hit)
                    if len(page.hits) == page.query.page_size:
                        return after
            if len(found) < _LOOKED_AT:
                return None
            page.looked_at += len(found)
        return after

    def _token(self, access: Access, query: TextQuery, end: TextPosition) -> str:
        # Of one length, whatever recording it is beyond.
        place = b"%020d %020d %020d" % (end.started_ms, end.recording, end.line)
        return self._tokens.seal(place, _digest(query), access.identity)

    def _after(self, access: Access, query: TextQuery) -> TextPosition | None:
        if not query.page_token:
            return None
        place = self._tokens.unseal(query.page_token, _digest(query), access.identity)
        return TextPosition(*map(int, place.split()))

    async def _on_thread(self, work: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


@dataclass(slots=True)
class _Reading:
    """A page that is being read."""

    query: TextQuery
    is_given_up: Callable[[], bool]
    hits: list[TextHit] = field(default_factory=list)
    looked_at: int = 0
    """Lines of the index that may have the text; without those that were last."""
    seconds: float = _SECONDS
    """That it may take yet."""

    def timed(self, find: Callable[[float, Callable[[], bool]], list[TextHit]]) -> list[TextHit]:
        """What `find` gives within the time that is left."""
        begun = time.monotonic()
        try:
            return find(begun + self.seconds, self.is_given_up)
        finally:
            self.seconds -= time.monotonic() - begun


def _pieces(recordings: Sequence[IndexedRecording]) -> Iterator[list[IndexedRecording]]:
    """Recordings in order, some at a time; one alone may have more than the lines of a piece."""
    piece, lines = list[IndexedRecording](), 0
    for each in recordings:
        piece.append(each)
        lines += each.lines
        if lines >= _LINES:
            yield piece
            piece, lines = [], 0
    if piece:
        yield piece


def _digest(query: TextQuery) -> str:
    parts = ["recorded text", query.text, query.from_ms, query.to_ms, sorted(query.users)]
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()


def _filters(query: TextQuery) -> dict[str, object]:
    asked = {"text": query.text, "from_ms": query.from_ms, "to_ms": query.to_ms, "users": sorted(query.users)}
    return {name: value for name, value in asked.items() if value not in (None, "", [])}
