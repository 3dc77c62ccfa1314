"""From a peer's certificate to its identity, on every call: one look-up, then the clock, the serial and the peer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import lru_cache
from threading import Lock
from urllib.parse import unquote

from rbac.identities import Identity
from server.certificates.anchors import TrustAnchors
from server.certificates.leaves import Leaf, plain_address, read_leaf
from server.errors import NotKnownYet, Unauthenticated

MAX_CACHED = 4096
Learn = Callable[[str], Awaitable[None]]


async def learn_nothing(serial: str) -> None:
    """Nothing more will be known of it."""


class IdentityResolver:
    """Resolves certificates against one set of anchors; other anchors need another resolver, so nothing stale is kept.

    `serials` gives the recorded serials of the local CAs; it is asked on every call and must not block. Names that end
    as those of `token_issuers`' users do (`user@issuer`) are refused: a lock or condition means the token's user.
    Safe to use from several threads.
    """

    def __init__(
        self,
        anchors: TrustAnchors,
        cluster_name: str,
        serials: Callable[[], frozenset[str]],
        max_cached: int = MAX_CACHED,
        *,
        token_issuers: Sequence[str] = (),
        learn: Learn = learn_nothing,
    ) -> None:
        """`learn` looks whether a serial was recorded since, and has `serials` give it then."""
        self._anchors = anchors
        self._token_users = tuple(f"@{issuer}" for issuer in token_issuers)
        self._cluster = cluster_name
        self._serials = serials
        self._learn = learn
        self._max_cached = max_cached
        self._leaves: OrderedDict[bytes, Leaf] = OrderedDict()
        self._lock = Lock()
        self._peer_address = lru_cache(max_cached)(peer_address)

    def resolve(self, pem: bytes, peer: str, now: datetime) -> Identity:
        """Who the certificate says is calling.

        Args:
            pem: the client's own certificate, as the handshake verified it.
            peer: gRPC's name for the peer, such as `ipv4:10.0.0.7:5123` or `ipv6:%5B::1%5D:5123`.
            now: aware of its zone.

        Raises:
            NotKnownYet: a local CA signed it, and it isn't on record; asking again after `learn` may go better.
            Unauthenticated: it gives no identity; reason CERTIFICATE_EXPIRED if only its time is over.
        """
        leaf = self._leaf(pem)
        if now > leaf.expires:
            raise Unauthenticated("the certificate has expired", reason="CERTIFICATE_EXPIRED")
        if now < leaf.not_before:
            raise Unauthenticated("the certificate is not valid yet")
        identity = leaf.identity
        if leaf.local and identity.certificate_serial not in self._serials():
            raise NotKnownYet("the certificate is not on record", lambda: self._learn(identity.certificate_serial))
        if identity.pinned_ip and identity.pinned_ip != self._peer_address(peer):
            raise Unauthenticated("the certificate is pinned to another address")
        return identity

    def _leaf(self, pem: bytes) -> Leaf:
        with self._lock:
            leaf = self._leaves.get(pem)
            if leaf is not None:
                self._leaves.move_to_end(pem)
                return leaf
        leaf = read_leaf(pem, self._anchors, self._cluster)
        if leaf.identity.name.endswith(self._token_users):
            raise Unauthenticated("the certificate's name is that of a token issuer's user")
        with self._lock:
            self._leaves[pem] = leaf
            if len(self._leaves) > self._max_cached:
                self._leaves.popitem(last=False)
        return leaf


def peer_address(peer: str) -> str:
    """The IP address in gRPC's name for a peer; '' if it has none."""
    family, _, rest = unquote(peer).partition(":")
    host, separator, _ = rest.rpartition(":")
    if family not in ("ipv4", "ipv6") or not separator:
        return ""
    try:
        return plain_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return ""
