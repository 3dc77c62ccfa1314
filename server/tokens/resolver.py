"""From a bearer token to its user, on every call: one look-up, then the clock and whether its key still counts."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rbac.identities import Identity
from server.config import TokenIssuer
from server.errors import NotKnownYet, Unauthenticated, Unavailable
from server.tokens.claims import Validity, check_audience, read_validity, user_of
from server.tokens.compact import UnverifiedToken, read_token
from server.tokens.issuer_keys import RETRY_SECONDS, HeldKey, IssuerKeys
from server.tokens.signatures import is_signed_by

MAX_CACHED = 4096


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An issuer as configured, and its keys."""

    settings: TokenIssuer
    keys: IssuerKeys


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token that its issuer's key has signed, and all that calls need of it. The token itself isn't kept."""

    identity: Identity
    validity: Validity
    keys: IssuerKeys
    key: HeldKey = field(repr=False)


class TokenResolver:
    """Resolves tokens of some issuers. Lives on the event loop.

    `qualified`: users are named `user@issuer`, because another issuer or a user CA could give the same name.
    """

    def __init__(
        self, issuers: Sequence[TrustedIssuer], skew: timedelta, *, qualified: bool, max_cached: int = MAX_CACHED
    ) -> None:
        self._issuers = {each.settings.issuer: each for each in issuers}
        self._skew = skew
        self._qualified = qualified
        self._max_cached = max_cached
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    def resolve(self, token: str, now: datetime) -> Identity:
        """Who the token says is calling.

        Args:
            token: as it came in, without the scheme's name.
            now: aware of its zone.

        Raises:
            Unauthenticated: it gives no identity; reason TOKEN_EXPIRED if only its time is over.
            NotKnownYet: it names a key that isn't known.
            Unavailable: the issuer's keys can't be had, so nothing can be told of the token.
        """
        # By the exact bytes: another spelling of the same token is verified for itself.
        digest = hashlib.sha256(token.encode()).digest()
        verified = self._verified.get(digest)
        if verified is None or not verified.keys.holds(verified.key):
            verified = self._verified[digest] = self._verify(token)
            if len(self._verified) > self._max_cached:
                self._verified.popitem(last=False)
        self._verified.move_to_end(digest)
        if now > verified.validity.ends:
            raise Unauthenticated("the token has expired", reason="TOKEN_EXPIRED")
        if now < verified.validity.begins:
            raise Unauthenticated("the token is not valid yet")
        return verified.identity

    def _verify(self, text: str) -> _Verified:
        token = read_token(text)
        name = token.claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise Unauthenticated("the token is of an issuer that is not trusted here")
        key = _signer(token, issuer.keys)
        settings = issuer.settings
        check_audience(token.claims, settings.audience)
        validity = read_validity(token.claims, self._skew)
        identity = user_of(token.claims, settings, token.signed_digest, qualified=self._qualified)
        return _Verified(identity, validity, issuer.keys, key)


def _signer(token: UnverifiedToken, keys: IssuerKeys) -> HeldKey:
    if keys.stale:
        raise Unavailable(
            "the keys of the token's issuer can't be had now",
            reason="TOKEN_KEYS_UNAVAILABLE",
            retry_after=RETRY_SECONDS,
        )
    named = keys.find(token.key_id)
    if not named:
        message = "the token is signed with a key that its issuer doesn't have"
        raise NotKnownYet(message, lambda: keys.ask_for(token.key_id))
    if all(token.algorithm != held.key.algorithm for held in named):
        raise Unauthenticated("the token's algorithm is not its key's")
    for held in named:
        if is_signed_by(token, held.key):
            return held
    raise Unauthenticated("the token's signature is wrong")
