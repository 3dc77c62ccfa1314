"""Sessions as the edges ask for them: lists by filters, and whether a caller may see one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from typing import TypeVar

from server.audit_log.access import Access
from server.audit_log.search.rights import condition_of
from server.audit_log.shared_places import SharedPlaces
from server.errors import Unavailable
from server.recordings.sessions.conditions import NO_VERDICTS, refusal, verdicts
from server.recordings.sessions.listing import MOST_KEPT, PageReader, SessionRecordings, filters_of, kept_of
from server.recordings.sessions.session import SessionPage, SessionQuery
from server.recordings.sessions.session_index import SessionIndex
from server.recordings.sessions.session_tokens import SessionTokens
from server.state.database import StateFault
from server.state.session_claims import settled
from server.state.session_pages import SessionFilters, SqlSessionPages
from server.storage.value_tests import RowCondition

PLACES = 64
"""For lists, and for questions who may see what."""
_MOST_CANDIDATES = 2_000

Answer = TypeVar("Answer")


class Sessions:
    """The session use cases, asynchronous; the work is done on bounded threads."""

    def __init__(
        self,
        index: SessionIndex,
        pages: SqlSessionPages,
        kept: SessionRecordings,
        tokens: SessionTokens,
        threads: Executor,
    ) -> None:
        self._index = index
        self._pages = pages
        self._kept = kept
        self._tokens = tokens
        self._threads = threads
        self._places = SharedPlaces(PLACES, "too many calls wait for the session index")

    async def list(self, access: Access, query: SessionQuery) -> SessionPage:
        """One page of the sessions that pass the filters and that the caller's conditions admit.

        What was acknowledged before the call counts. A page may be short, or even empty, and have a next one.

        Raises:
            InvalidRequest: the page token is wrong.
            ResourceExhausted: too many ask, of all or of the caller. Unavailable: the index can't be read now.
        """
        return await self._run(access, lambda: self._page(access, query))

    async def admits(self, access: Access, session_id: str, upload_id: str = "") -> bool:
        """Whether the caller's conditions admit a session's recording, or the one that an upload of it made.

        Raises:
            ResourceExhausted, Unavailable: as `list`.
        """
        return not await self.refusal(access, session_id, upload_id)

    async def refusal(self, access: Access, session_id: str, upload_id: str = "") -> str:
        """As `admits`, with the reason, which is for the log alone; '' where it is admitted."""
        condition = condition_of(access)
        if condition is None:
            return ""
        return await self._run(access, lambda: self._refusal(condition, session_id, upload_id))

    async def candidates(self, access: Access) -> frozenset[str] | None:
        """The ids of all sessions that the caller's conditions can admit, where these ask for participants and few
        sessions have such; None where it may be any session.

        Raises:
            ResourceExhausted, Unavailable: as `list`.
        """
        condition = condition_of(access)
        filters = filters_of(SessionQuery(), condition)
        return None if filters.named is None else await self._run(access, lambda: self._candidates(filters))

    async def admitted(self, access: Access, uploads: Collection[tuple[str, str]]) -> set[str]:
        """Which uploads, of pairs of a session's id and an upload's, the caller's conditions admit; by their ids.

        Raises:
            ResourceExhausted, Unavailable: as `list`.
        """
        condition = condition_of(access)
        if condition is None:
            return {upload_id for _, upload_id in uploads}
        return await self._run(access, lambda: self._admitted(condition, uploads))

    def servers_of(self, session_id: str) -> frozenset[str]:
        """The ids of all servers that events of the session's start or end name, as far as they count; blocks.

        Raises:
            StateFault: the index can't be read now.
        """
        generation, _ = self._index.follow()
        claims = self._pages.claims(generation, session_id)
        found = settled((speaker.voice(None), claim) for speaker, claim in claims)
        return frozenset() if found is None else found.servers

    def _refusal(self, condition: RowCondition, session_id: str, upload_id: str) -> str:
        return self._refusals(condition, [(session_id, upload_id)])[0]

    def _candidates(self, filters: SessionFilters) -> frozenset[str] | None:
        rows = self._pages.rows(self._level_generation(), filters, None, _MOST_CANDIDATES + 1)
        return frozenset(row.session_id for row in rows) if len(rows) <= _MOST_CANDIDATES else None

    def _admitted(self, condition: RowCondition, uploads: Collection[tuple[str, str]]) -> set[str]:
        refusals = self._refusals(condition, uploads)
        return {upload_id for (_, upload_id), why in zip(uploads, refusals, strict=True) if not why}

    def _refusals(self, condition: RowCondition, uploads: Collection[tuple[str, str]]) -> Sequence[str]:
        ids = {session_id for session_id, _ in uploads}
        generation = self._level_generation()
        kept = kept_of(self._kept, ids)
        # Read last: of one whose upload completes meanwhile, what it says against the caller is among them.
        known = verdicts(condition, self._pages.ends(generation, ids))
        return [
            refusal(known.get(session_id, NO_VERDICTS), kept[session_id].uploader(upload_id))
            for session_id, upload_id in uploads
        ]

    def _level_generation(self) -> int:
        generation, level = self._index.follow()
        if not level:
            # An event that speaks against it may be among those that aren't read yet.
            message = "the session index is being built; rights that depend on sessions can't be decided yet"
            raise Unavailable(message, reason="STORAGE_UNAVAILABLE", retry_after=5.0)
        return generation

    def _page(self, access: Access, query: SessionQuery) -> SessionPage:
        after = self._tokens.decode(query.page_token, query, access.identity) if query.page_token else None
        condition = condition_of(access)
        if condition is None:
            generation, level = self._index.follow()
        else:
            generation, level = self._level_generation(), True
        reader = PageReader(self._pages, self._kept, generation, filters_of(query, condition), condition)
        found, end = reader.read(after, query.page_size)
        token = "" if end is None else self._tokens.encode(end, query, access.identity)
        missing = self._index.missing(generation, is_level=level, names=condition is None)
        missing += tuple(
            f"session {session.session_id} has more than the {MOST_KEPT} asides or uploads that are listed"
            for session in found
            if session.has_more
        )
        return SessionPage(tuple(found), token, missing)

    async def _run(self, access: Access, work: Callable[[], Answer]) -> Answer:
        with self._places.place(access.identity):
            try:
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
            except StateFault as error:
                raise Unavailable("the session index can't be read now") from error
