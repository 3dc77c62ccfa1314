"""RSA keys as the library has them: made, read, and signed with. The private half leaves this module encrypted only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from server.integrations.key_wrapping import WrappingKey, WrongWrappingKey
from server.state.signing_keys import KeyState, SigningKey

ALGORITHM: Final = "RS256"
_BITS: Final = 2048
_PUBLIC: Final = ("kty", "n", "e")


class Signer:
    """A private half, ready to sign. Safe to use from several threads."""

    def __init__(self, key_id: str, key: RSAKey) -> None:
        self.key_id = key_id
        self._key = key

    def signed(self, claims: Mapping[str, Any]) -> str:
        """A token of these claims; takes about a millisecond."""
        header = {"alg": ALGORITHM, "typ": "JWT", "kid": self.key_id}
        return jwt.encode(header, dict(claims), self._key, algorithms=[ALGORITHM])


def make_key(wrapping: WrappingKey, now_ms: int) -> SigningKey:
    """A new key in state `NEXT`; takes up to a second."""
    key = RSAKey.generate_key(_BITS, private=True, auto_kid=False)
    key_id = key.thumbprint()
    wrapped = wrapping.wrap(key_id, key.as_der(private=True))
    return SigningKey(key_id, KeyState.NEXT, public_members(key), wrapped, now_ms)


def signer_of(key: SigningKey, wrapping: WrappingKey) -> Signer:
    """What signs with `key`.

    Raises:
        WrongWrappingKey: its private half can't be opened, or belongs to another public half.
    """
    data = wrapping.unwrap(key.key_id, key.wrapped_key)
    try:
        private = RSAKey.import_key(data)
    except (JoseError, ValueError, TypeError):
        raise WrongWrappingKey(f"the private half of signing key {key.key_id} is damaged") from None
    if private.thumbprint() != key.key_id or public_members(private) != dict(key.public_key):
        raise WrongWrappingKey(f"the private half of signing key {key.key_id} belongs to another")
    return Signer(key.key_id, private)


def public_members(key: RSAKey) -> dict[str, str]:
    """The public half as a JWK."""
    members = key.as_dict(private=False)
    return {name: str(members[name]) for name in _PUBLIC}
