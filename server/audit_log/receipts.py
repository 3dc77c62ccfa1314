"""Receipts and acknowledgements: where an event is, who emitted it and when it was received."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from rbac.identities import Identity, IdentityKind
from server.errors import Violation

VOUCHING_ROLES = frozenset({"Auth", "Proxy"})
"""The system roles of components that vouch for sessions which others host. Receipts keep these roles and no others:
they are in every frame of the journal."""


class Emitter(NamedTuple):
    """The emitting identity as a receipt keeps it. `kind` is a value of IdentityKind."""

    kind: str
    name: str
    trust_anchor: str
    certificate_serial: str
    token_id: str = ""
    roles: tuple[str, ...] = ()
    """Those of VOUCHING_ROLES that a component had, sorted; none in receipts of before they were kept."""


def encode_emitter(who: Identity, peer: str) -> bytes:
    """Who emitted, and from where, as a journal frame and a batch record keep it: a JSON list.

    The token id and the roles come last and only where there are any, so that receipts of before they were kept are the
    same lists.
    """
    row: list[object] = [who.kind.value, who.name, who.trust_anchor, who.certificate_serial, peer]
    roles = sorted(VOUCHING_ROLES & who.roles) if who.kind is IdentityKind.COMPONENT else []
    if roles:
        return orjson.dumps([*row, who.token_id, roles])
    return orjson.dumps([*row, who.token_id] if who.token_id else row)


def decode_emitter(row: Sequence[Any]) -> tuple[Emitter, str]:
    """Emitter and peer from the decoded list.

    Raises:
        LookupError: it is too short.
    """
    token_id, roles = row[5] if len(row) > 5 else "", tuple(row[6]) if len(row) > 6 else ()
    return Emitter(row[0], row[1], row[2], row[3], token_id, roles), row[4]


class Receipt(NamedTuple):
    """Where an event was acknowledged and whose it is; `foreign_object` names the object of one that isn't ours."""

    storage: str
    log_id: str = ""
    sequence: int = 0
    emitter: Emitter | None = None
    peer: str = ""
    received_ms: int = 0
    foreign_object: str = ""


class Acknowledgement(NamedTuple):
    """What became of one accepted event."""

    uid: str
    storage: str
    log_id: str
    sequence: int
    repeated: bool = False
    uid_reused: bool = False


@dataclass(slots=True)
class BatchAcknowledgement:
    """What became of the events of one message; indexes count from 0 within it."""

    storage: str
    log_id: str
    sequences: list[tuple[int, int]] = field(default_factory=list)
    """First and last of each range given to the accepted events, in message order."""
    assigned_uids: Sequence[tuple[int, str]] = ()
    refused: Sequence[tuple[int, list[Violation]]] = ()
    repeated: list[tuple[int, str, str, int]] = field(default_factory=list)
    """Index, storage, log_id and sequence of the first acknowledgement."""
    uid_reused: list[int] = field(default_factory=list)
    denied: int = 0
    """How many of `refused` speak for another component, which is no mistake to mend but a right that is lacking."""
