"""Searches in recorded text, as the edge asks for them: hits of what the caller may see, each page traced."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import Final, Protocol, TypeVar

import orjson

from rbac.formulas import ALWAYS
from server.audit_log.access import Access
from server.audit_log.search.tokens import HiddenTokens
from server.errors import ResourceExhausted
from server.recordings.text_search.text_index import TextIndex, has_text
from server.recordings.text_search.text_query import TextHit, TextPage, TextPosition, TextQuery

_WAITING: Final = 16
_LOOKED_AT: Final = 2_000
"""Candidates that are read at once."""
_MOST_LOOKED_AT: Final = 20_000
"""Candidates for one page: behind them it ends, and the next one goes on."""
_SECONDS: Final = 20.0

Answer = TypeVar("Answer")


class Sessions(Protocol):
    """Knows who may see what."""

    async def refusal(self, access: Access, session_id: str, upload_id: str) -> str:
        """Why the caller may not see a recording; '' where they may."""
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
        self._under_way = 0

    async def search(self, access: Access, query: TextQuery) -> TextPage:
        """One page of the lines that have the text, in recordings that the caller may see. It may be short, or empty.

        Raises:
            InvalidRequest: the page token is wrong.
            ResourceExhausted: too many search. DeadlineExceeded: it takes too long.
            Unavailable: it can't be read, or not traced, now.
        """
        if self._under_way >= _WAITING:
            raise ResourceExhausted("too many searches are waiting", reason="OVERLOADED", retry_after=1.0)
        self._under_way += 1
        given_up = threading.Event()
        try:
            page = await self._page(access, query, given_up.is_set)
        finally:
            self._under_way -= 1
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
        deadline = time.monotonic() + _SECONDS
        # Asked before the hits are read: what is indexed meanwhile may be in them, and is told as missing all the same.
        missing = await self._on_thread(lambda: self._missing(query, access.condition == ALWAYS))
        hits: list[TextHit] = []
        admitted: dict[str, bool] = {}
        looked_at = 0
        while looked_at < _MOST_LOOKED_AT:
            found = await self._on_thread(partial(self._index.find, query, after, _LOOKED_AT, deadline, is_given_up))
            for hit in found:
                after = hit.position
                if has_text(hit, query.text) and await self._admits(access, hit, admitted):
                    hits.append(hit)
                    if len(hits) == query.page_size:
                        return self._ended(access, query, hits, after, missing)
            if len(found) < _LOOKED_AT:
                return TextPage(tuple(hits), "", missing)
            looked_at += len(found)
        return self._ended(access, query, hits, after, missing)

    def _ended(
        self,
        access: Access,
        query: TextQuery,
        hits: list[TextHit],
        after: TextPosition | None,
        missing: tuple[str, ...],
    ) -> TextPage:
        place = [after.started_ms, after.recording, after.line] if after is not None else []
        token = self._tokens.seal(orjson.dumps(place), _digest(query), access.identity)
        return TextPage(tuple(hits), token, missing)

    def _after(self, access: Access, query: TextQuery) -> TextPosition | None:
        if not query.page_token:
            return None
        place = orjson.loads(self._tokens.unseal(query.page_token, _digest(query), access.identity))
        return TextPosition(*place) if place else None

    async def _admits(self, access: Access, hit: TextHit, known: dict[str, bool]) -> bool:
        if access.condition == ALWAYS:
            return True
        if hit.upload_id not in known:
            known[hit.upload_id] = not await self._sessions.refusal(access, hit.session_id, hit.upload_id)
        return known[hit.upload_id]

    async def _on_thread(self, work: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _digest(query: TextQuery) -> str:
    parts = ["recorded text", query.text, query.from_ms, query.to_ms, sorted(query.users)]
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()


def _filters(query: TextQuery) -> dict[str, object]:
    asked = {"text": query.text, "from_ms": query.from_ms, "to_ms": query.to_ms, "users": sorted(query.users)}
    return {name: value for name, value in asked.items() if value not in (None, "", [])}
