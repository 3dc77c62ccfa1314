"""From the claims of a verified token to the user it names: what a token must say, and what it may not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rbac.identities import Identity, IdentityKind
from server.certificates.claims import is_user_name, is_user_role
from server.config import TokenIssuer
from server.errors import Unauthenticated

MAX_LIFE_SECONDS = 24 * 3600
MAX_ROLES = 64
MAX_TOKEN_ID_CHARACTERS = 128
_LAST_TIME = datetime(9999, 1, 1, tzinfo=UTC).timestamp()

Traits = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Validity:
    """When a token counts; the clocks' allowance is in it."""

    begins: datetime
    ends: datetime


def check_audience(claims: Mapping[str, Any], audience: str) -> None:
    """Refuse a token that isn't for this service: `aud` must be the configured text, or a list that has it."""
    found = claims.get("aud")
    if found != audience and not (isinstance(found, list) and audience in found):
        raise Unauthenticated("the token is for another audience")


def read_validity(claims: Mapping[str, Any], skew: timedelta) -> Validity:
    """When the token counts.

    Raises:
        Unauthenticated: it doesn't say when it was issued and when it ends, or lasts for more than 24 hours.
    """
    issued, ends = _time(claims, "iat"), _time(claims, "exp")
    begins = max(issued, _time(claims, "nbf")) if "nbf" in claims else issued
    if not 0 < ends - issued <= MAX_LIFE_SECONDS:
        raise Unauthenticated("the token's exp must come after its iat, by at most 24 hours")
    return Validity(_moment(begins) - skew, _moment(ends) + skew)


def user_of(claims: Mapping[str, Any], issuer: TokenIssuer, signed_digest: str, *, qualified: bool) -> Identity:
    """The user that the claims name; always a user, whatever they say. With `qualified`, as `user@issuer`.

    Raises:
        Unauthenticated: a claim is missing or not as it must be; the text says which and repeats nothing of it.
    """
    name = claims.get(issuer.user_claim)
    if not isinstance(name, str) or not is_user_name(name):
        raise Unauthenticated("the token's name is not one a user may have")
    return Identity(
        kind=IdentityKind.USER,
        name=f"{name}@{issuer.issuer}" if qualified else name,
        roles=_roles(claims, issuer.roles_claim),
        trust_anchor=issuer.issuer,
        expires=_moment(_time(claims, "exp")),
        not_before=_moment(_time(claims, "iat")),
        traits=_traits(claims, issuer.traits_claims),
        token_id=_token_id(claims, signed_digest),
    )


def _time(claims: Mapping[str, Any], name: str) -> float:
    found = claims.get(name)
    if not isinstance(found, int | float) or isinstance(found, bool) or not 0 <= found <= _LAST_TIME:
        raise Unauthenticated(f"the token must have {name}, a time in seconds since 1970")
    return float(found)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _roles(claims: Mapping[str, Any], way: Sequence[str]) -> frozenset[str]:
    found: object = claims
    for name in way:
        if not isinstance(found, Mapping) or name not in found:
            raise Unauthenticated("the token lacks the claim that roles come from")
        found = found[name]
    if not isinstance(found, list) or not all(isinstance(role, str) for role in found) or len(found) > MAX_ROLES:
        raise Unauthenticated(f"the token's roles must be a list of at most {MAX_ROLES} texts")
    if not all(is_user_role(role) for role in found):
        raise Unauthenticated("the token claims a role that no user may have")
    return frozenset(found)


def _traits(claims: Mapping[str, Any], names: Sequence[str]) -> Traits:
    """One trait for each of the claims that is there."""
    traits: dict[str, tuple[str, ...]] = {}
    for name in names:
        if name not in claims:
            continue
        values = claims[name] if isinstance(claims[name], list) else [claims[name]]
        if not all(isinstance(value, str) for value in values):
            raise Unauthenticated("a claim that traits come from must be a text or a list of texts")
        traits[name] = tuple(values)
    return tuple(sorted(traits.items()))


def _token_id(claims: Mapping[str, Any], signed_digest: str) -> str:
    """`jti` where it is 1 to 128 characters of visible ASCII, so that a lock can name it; else the digest."""
    found = claims.get("jti")
    fit = isinstance(found, str) and 0 < len(found) <= MAX_TOKEN_ID_CHARACTERS and found.isascii()
    return str(found) if fit and all("!" <= character <= "~" for character in str(found)) else f"sha256:{signed_digest}"
