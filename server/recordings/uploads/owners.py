"""Who uploads, as state and storage keep it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rbac.identities import Identity, IdentityKind
from server.state.session_claims import identity_digest


def owner_members(who: Identity, peer: str) -> dict[str, object]:
    """An identity and where it called from, as JSON members."""
    members: dict[str, object] = {"kind": who.kind.value, "name": who.name, "trust_anchor": who.trust_anchor}
    members |= {"token_id": who.token_id} if who.token_id else {"certificate_serial": who.certificate_serial}
    return members | {"roles": sorted(who.roles), "peer": peer}


def owner_of(members: Mapping[str, Any]) -> Identity:
    """The identity again."""
    return Identity(
        IdentityKind(members["kind"]),
        members["name"],
        frozenset(members["roles"]),
        members["trust_anchor"],
        members.get("certificate_serial", ""),
        token_id=members.get("token_id", ""),
    )


def owner_key(who: Identity) -> str:
    """A digest, equal for identities that are the same."""
    return identity_digest(*who.key)
