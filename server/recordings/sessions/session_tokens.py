"""Page tokens of lists of sessions: a position, bound to caller and query."""

from __future__ import annotations

import hashlib

import orjson

from rbac.identities import Identity
from server.audit_log.search.tokens import HiddenTokens
from server.recordings.sessions.session import SessionQuery
from server.state.session_pages import SessionPosition


class SessionTokens:
    """Makes and checks them."""

    def __init__(self, key: bytes) -> None:
        self._sealed = HiddenTokens(key)

    def encode(self, after: SessionPosition, query: SessionQuery, caller: Identity) -> str:
        """The token of the page beyond a position."""
        return self._sealed.seal(orjson.dumps([*after]), _digest(query), caller)

    def decode(self, token: str, query: SessionQuery, caller: Identity) -> SessionPosition:
        """Where a page begins.

        Raises:
            InvalidRequest: it isn't a token of this server for this caller and query.
        """
        begun_ms, session_id = orjson.loads(self._sealed.unseal(token, _digest(query), caller))
        return SessionPosition(begun_ms, session_id)


def _digest(query: SessionQuery) -> str:
    """Of all that decides which sessions there are; not of the page's size."""
    parts = [
        "sessions",
        query.from_ms,
        query.to_ms,
        sorted(kind.value for kind in query.kinds),
        sorted(query.users),
        query.participant,
        query.server_id,
        query.active_at_ms,
        query.has_recording,
        query.has_upload,
        query.text,
        query.session_id,
    ]
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()
