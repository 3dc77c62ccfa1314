"""Page tokens: a position and the first page's watermark, bound to caller and query by a MAC."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

import orjson
from cryptography.fernet import Fernet

from rbac.identities import Identity
from server.audit_log.search.query import SearchQuery, Watermark
from server.errors import InvalidRequest, Violation
from server.storage.query import Position

_MAC_BYTES = 16
_MAX_TOKEN = 65_536
_PLAIN = b"["


@dataclass(frozen=True, slots=True)
class PageStart:
    """Where a page begins: beyond `position`, counting what `watermark` counted, as part of query `query_id`."""

    position: Position
    watermark: Watermark
    query_id: str


class SealedTokens:
    """Tokens that nobody else can make, each bound to what asked for it. URL-safe text, not secret."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, body: bytes, query_digest: str, caller: Identity) -> str:
        """The token with this body for a caller and the query with this digest."""
        return base64.urlsafe_b64encode(self._mac(body, query_digest, caller) + body).decode()

    def unseal(self, token: str, query_digest: str, caller: Identity) -> bytes:
        """The body of a token.

        Raises:
            InvalidRequest: it isn't one of this server for this caller and query.
        """
        try:
            raw = (
                base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
                if len(token) <= _MAX_TOKEN
                else b""
            )
        except (binascii.Error, UnicodeEncodeError):
            raw = b""
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body, query_digest, caller)):
            wrong = Violation("page_token", "is not a token of this server for this caller, filters and order")
            raise InvalidRequest([wrong], reason="INVALID_PAGE_TOKEN")
        return body

    def _mac(self, body: bytes, query_digest: str, caller: Identity) -> bytes:
        bound = orjson.dumps([query_digest, caller.key])
        return hmac.digest(self._key, bound + b"\0" + body, "sha256")[:_MAC_BYTES]


def no_longer_than_taken(token: str, too_long: Violation) -> str:
    """The token, if it is one that is taken when it is given back.

    Raises:
        InvalidRequest: it is longer, and `too_long` says why.
    """
    if len(token) > _MAX_TOKEN:
        raise InvalidRequest([too_long])
    return token


class HiddenTokens:
    """Sealed tokens that nobody else can read: under a condition a page may end at what its caller must not see."""

    def __init__(self, key: bytes) -> None:
        self._sealed = SealedTokens(key)
        self._cipher = Fernet(base64.urlsafe_b64encode(hmac.digest(key, b"bodies of page tokens", "sha256")))

    def seal(self, body: bytes, query_digest: str, caller: Identity) -> str:
        """As SealedTokens.seal."""
        return self._sealed.seal(self._cipher.encrypt(body), query_digest, caller)

    def unseal(self, token: str, query_digest: str, caller: Identity) -> bytes:
        """As SealedTokens.unseal."""
        return self.reveal(self._sealed.unseal(token, query_digest, caller))

    def reveal(self, body: bytes) -> bytes:
        """What the body of one of these tokens says, unsealed as if it hid nothing."""
        return self._cipher.decrypt(body)


class PageTokens:
    """Makes and checks tokens. Pages of one query see what its first page could see, so each row comes exactly once.

    Those of callers with conditions are hidden. Both are taken from everyone: rights may change from page to page."""

    def __init__(self, key: bytes) -> None:
        self._sealed, self._hidden = SealedTokens(key), HiddenTokens(key)

    def encode(self, start: PageStart, query: SearchQuery, caller: Identity) -> str:
        """The token, URL-safe text.

        Raises:
            InvalidRequest: it would be longer than `decode` takes.
        """
        position, mark = start.position, start.watermark
        place = (position.time_ms, position.uid, position.digest)
        body = orjson.dumps((place, dict(mark.logs), mark.catalogue_revision, start.query_id))
        tokens = self._sealed if query.filters.condition is None else self._hidden
        too_long = Violation("watermark", "counts more logs than a page token can hold")  # the rest of it is bounded
        return no_longer_than_taken(tokens.seal(body, _digest(query), caller), too_long)

    def decode(self, token: str, query: SearchQuery, caller: Identity) -> PageStart:
        """What a token says.

        Raises:
            InvalidRequest: it isn't one of this server for this caller and query.
        """
        body = self._sealed.unseal(token, _digest(query), caller)
        if not body.startswith(_PLAIN):
            body = self._hidden.reveal(body)
        place, logs, revision, query_id = orjson.loads(body)
        return PageStart(Position(*place), Watermark(logs, revision), query_id)


def _digest(query: SearchQuery) -> str:
    """Of all that decides which rows there are and in which order; not of page size, engine and watermark."""
    filters = query.filters
    parts = [
        filters.from_ms,
        filters.to_ms,
        sorted(filters.types),
        sorted(filters.users),
        filters.session_id,
        sorted(filters.uids),
        filters.text,
        [[list(item.path), type(item.value).__name__, repr(item.value)] for item in filters.fields],
        sorted(query.emitters),
        sorted(kind.value for kind in query.emitter_kinds),
        query.order.value,
        query.storage,
    ]
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()
