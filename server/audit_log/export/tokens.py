"""Page tokens of lists of chunks: how far each log was complete at the first page, and the last chunk given."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from rbac.identities import Identity
from server.audit_log.export.chunk import ChunkQuery
from server.audit_log.search.tokens import SealedTokens, no_longer_than_taken
from server.errors import Violation

_TOO_LONG = Violation("page_size", "leaves chunks of more logs than a page token can hold; ask for larger pages")


@dataclass(frozen=True, slots=True)
class ListStart:
    """Where a page begins: beyond `last` of `log_id`, within what was complete at the first page."""

    complete: Mapping[str, int]
    log_id: str = ""
    last: int = 0


class ChunkTokens:
    """Makes and checks them; each holds for its caller and question alone."""

    def __init__(self, key: bytes) -> None:
        self._sealed = SealedTokens(key)

    def encode(self, start: ListStart, query: ChunkQuery, caller: Identity) -> str:
        """The token, URL-safe text.

        Raises:
            InvalidRequest: it would be longer than `decode` takes.
        """
        body = orjson.dumps((start.complete, start.log_id, start.last))
        return no_longer_than_taken(self._sealed.seal(body, _digest(query), caller), _TOO_LONG)

    def decode(self, token: str, query: ChunkQuery, caller: Identity) -> ListStart:
        """What a token says.

        Raises:
            InvalidRequest: it isn't one of this server for this caller and question.
        """
        return ListStart(*orjson.loads(self._sealed.unseal(token, _digest(query), caller)))


def _digest(query: ChunkQuery) -> str:
    """Of all that decides which chunks there are; not of the page's size."""
    asked = ["event chunks", query.storage, query.from_ms, query.to_ms, sorted(query.after.items())]
    return hashlib.sha256(orjson.dumps(asked)).hexdigest()
