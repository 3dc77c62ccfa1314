"""The keys in a JSON Web Key Set, each with the one algorithm that it may be used with."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from server.tokens.compact import MAX_KEY_ID_CHARACTERS

MAX_JWKS_BYTES = 256 * 1024
MAX_KEYS = 64
MAX_KEYS_OF_ONE_ID = 4
"""Each costs a verification; Teleport gives old and new keys the same id, '', while it rotates."""
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192

VerificationKey = RSAKey | ECKey | OKPKey


class JwksProblem(Exception):
    """An issuer's keys can't be had; the text is ours and names no path."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that may vouch for tokens."""

    key_id: str
    """`kid`; '' without one."""
    algorithm: str
    """RS256, ES256 or EdDSA: fixed by what the key is, whatever a token's header says."""
    thumbprint: str
    """Its RFC 7638 thumbprint: two keys are the same if id and thumbprint are."""
    key: VerificationKey = field(repr=False, compare=False)


def read_jwks(data: bytes) -> tuple[PublicKey, ...]:
    """The keys of a set that can be used here, in its order; others are left out, as sets hold keys for other ends.

    Raises:
        JwksProblem: it is no key set, is too large, or has too many keys.
    """
    if len(data) > MAX_JWKS_BYTES:
        raise JwksProblem(f"the key set is larger than {MAX_JWKS_BYTES} bytes")
    try:
        members = orjson.loads(data)["keys"]
    except (ValueError, TypeError, KeyError):
        members = None
    if not isinstance(members, list):
        raise JwksProblem("the key set is not a JSON object with a list of keys")
    if len(members) > MAX_KEYS:
        raise JwksProblem(f"the key set has more than {MAX_KEYS} keys")
    keys = tuple(key for each in members if (key := _key(each)) is not None)
    for key_id in {key.key_id for key in keys}:
        if sum(key.key_id == key_id for key in keys) > MAX_KEYS_OF_ONE_ID:
            raise JwksProblem(f"the key set has more than {MAX_KEYS_OF_ONE_ID} keys of one id")
    return keys


def _key(member: object) -> PublicKey | None:
    if not isinstance(member, dict) or not _is_for_verification(member):
        return None
    key_id = member.get("kid", "")
    if not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID_CHARACTERS:
        return None
    try:
        found = _verification_key(member)
        if found is None or member.get("alg", found[0]) != found[0]:
            return None
        algorithm, key = found
        return PublicKey(key_id, algorithm, key.thumbprint(), key)
    except (JoseError, LookupError, ValueError, TypeError):
        return None


def _is_for_verification(member: Mapping[str, Any]) -> bool:
    operations = member.get("key_ops", ["verify"])
    return member.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _verification_key(member: Mapping[str, Any]) -> tuple[str, VerificationKey] | None:
    """The algorithm and the public part of the key, whatever else stands beside it."""
    if member.get("kty") == "RSA":
        # Asked first, as the library warns of small keys and computes with large ones.
        if not MIN_RSA_BITS <= _bits(member["n"]) <= MAX_RSA_BITS:
            return None
        return "RS256", RSAKey.import_key(_public(member, "n", "e"))
    if member.get("kty") == "EC" and member.get("crv") == "P-256":
        return "ES256", ECKey.import_key(_public(member, "crv", "x", "y"))
    if member.get("kty") == "OKP" and member.get("crv") == "Ed25519":
        return "EdDSA", OKPKey.import_key(_public(member, "crv", "x"))
    return None


def _bits(number: str) -> int:
    data = base64.urlsafe_b64decode(number + "=" * (-len(number) % 4))
    return int.from_bytes(data).bit_length()


def _public(member: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: member[name] for name in ("kty", *names) if name in member}
