"""Lists of sessions, and their index made anew, as the edge asks for them: each leaves its trace first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

from server.audit_log.access import Access
from server.recordings.sessions.session import SessionPage, SessionQuery
from server.recordings.sessions.session_index import ReindexProgress


class Sessions(Protocol):
    """Lists sessions."""

    async def list(self, access: Access, query: SessionQuery) -> SessionPage:
        """One page of the sessions that the caller may see."""
        ...


class Reindexing(Protocol):
    """Makes the index anew."""

    def reindex(self) -> AsyncIterator[ReindexProgress]:
        """Make it anew, or join in."""
        ...


class ListLog(Protocol):
    """Where the traces go."""

    async def recordings_listed(self, access: Access, filters: Mapping[str, object], **members: object) -> None:
        """Leave the trace of one page."""
        ...

    async def reindexed(self, access: Access) -> None:
        """Leave the trace of an index that is made anew."""
        ...


class SessionLists:
    """The use cases of lists."""

    def __init__(
        self, sessions: Sessions, reindexing: Reindexing, log: ListLog, reindex_text: Callable[[], None]
    ) -> None:
        """`reindex_text` has the index of recorded text made anew, in the background."""
        self._sessions = sessions
        self._reindexing = reindexing
        self._log = log
        self._reindex_text = reindex_text

    async def list(self, access: Access, query: SessionQuery) -> SessionPage:
        """One page of the sessions that the caller may see.

        Raises:
            InvalidRequest: the page token is wrong.
            ResourceExhausted: too many ask. Unavailable: it can't be read, or not traced, now.
        """
        page = await self._sessions.list(access, query)
        await self._log.recordings_listed(
            access,
            _filters(query),
            first_page=not query.page_token,
            rows=len(page.sessions),
            complete=not page.missing,
        )
        return page

    async def reindex(self, access: Access) -> AsyncIterator[ReindexProgress]:
        """Make the index of sessions anew, or join those who wait for that; it goes on without a listener.

        The index of recorded text is made anew after the answer; searches tell how far it is.

        Raises:
            Unavailable: it can't be done, or not traced, now.
        """
        await self._log.reindexed(access)
        self._reindex_text()
        async for progress in self._reindexing.reindex():
            yield progress


def _filters(query: SessionQuery) -> dict[str, object]:
    """The filters that were asked for, the empty ones left out."""
    asked: dict[str, object] = {
        "from_ms": query.from_ms,
        "to_ms": query.to_ms,
        "kinds": sorted(kind.value for kind in query.kinds),
        "users": sorted(query.users),
        "participant": query.participant,
        "server_id": query.server_id,
        "active_at_ms": query.active_at_ms,
        "has_recording": query.has_recording,
        "has_upload": query.has_upload,
        "text": query.text,
        "session_id": query.session_id,
    }
    return {name: value for name, value in asked.items() if value not in (None, "", [])}
