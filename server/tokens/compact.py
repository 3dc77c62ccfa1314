"""Tokens as they come in: split, decoded and held to what a header may say. Nothing that is read here is verified."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from server.errors import Unauthenticated

MAX_TOKEN_BYTES = 7 * 1024
"""gRPC takes 8 KiB of metadata, and a call has some more of it."""
MAX_KEY_ID_CHARACTERS = 256

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
_TYPES = frozenset({"jwt", "at+jwt"})
_REFUSED = ("crit", "jku", "x5u", "jwk", "x5c", "b64")
"""Members of a header that bring a key, say where one is, or ask for what is not done here."""


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """What a token says of itself; whoever made it may have written anything."""

    text: str = field(repr=False)
    algorithm: str
    key_id: str
    """`kid`; '' without one."""
    claims: Mapping[str, Any] = field(repr=False)

    @property
    def signed_digest(self) -> str:
        """SHA-256, lower-case hex, of what was signed. The signature is left out: ES256 has several for one content."""
        return hashlib.sha256(self.text.rpartition(".")[0].encode()).hexdigest()


def read_token(text: str) -> UnverifiedToken:
    """Split and decode a token.

    Raises:
        Unauthenticated: it is too large, not a signed JWT, or its header has what no header may have; the text repeats
            nothing of the token.
    """
    if len(text) > MAX_TOKEN_BYTES:
        raise Unauthenticated(f"the token is larger than {MAX_TOKEN_BYTES} bytes")
    matched = _COMPACT.fullmatch(text)
    if matched is None:
        raise Unauthenticated("the token is not a signed JWT")
    header, claims = _object(matched[1]), _object(matched[2])
    for name in _REFUSED:
        if name in header:
            raise Unauthenticated(f"the token's header has {name}, which no token may have here")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _TYPES:
        raise Unauthenticated("the token is of a type that is not for callers")
    algorithm, key_id = header.get("alg"), header.get("kid", "")
    if not isinstance(algorithm, str) or not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID_CHARACTERS:
        raise Unauthenticated("the token's header is not well formed")
    return UnverifiedToken(text, algorithm, key_id, claims)


def _object(segment: str) -> dict[str, Any]:
    """The JSON object of a segment, in base64url's one spelling, without duplicate keys, odd numbers and halves of
    characters."""
    try:
        data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
        if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != segment:
            raise ValueError("another spelling")
        found = json.loads(data.decode(), object_pairs_hook=_members, parse_constant=_refuse, parse_float=_number)
        json.dumps(found, ensure_ascii=False).encode()  # fails of a lone surrogate
    except (ValueError, RecursionError) as error:
        raise Unauthenticated("the token is not a signed JWT") from error
    if not isinstance(found, dict):
        raise Unauthenticated("the token is not a signed JWT")
    return found


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key is there twice")
    return members


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _refuse(_text: str) -> NoReturn:
    raise ValueError("not a number of JSON")
