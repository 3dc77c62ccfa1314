"""What a use case is given about its caller, after the transport has authenticated and authorised the call."""

from __future__ import annotations

import json
from dataclasses import dataclass

from rbac.formulas import ALWAYS, Formula
from rbac.identities import SERVICE, Identity


@dataclass(frozen=True, slots=True)
class Access:
    """An authenticated and authorised call."""

    identity: Identity
    peer: str
    """The address called from, as gRPC writes it: `ipv4:127.0.0.1:50514`."""
    request_id: str
    condition: Formula = ALWAYS
    """What an object must be like for this caller to see or touch it; a use case that shows objects puts it into its
    query. ALWAYS where the right depends on no object."""


def caller_members(access: Access) -> dict[str, object]:
    """What an event about a call says of its caller; nothing where it is the service itself."""
    who = access.identity
    if who is SERVICE:
        return {}
    caller = {"kind": who.kind.value, "name": who.name, "trust_anchor": who.trust_anchor}
    caller |= {"token_id": who.token_id} if who.token_id else {"certificate_serial": who.certificate_serial}
    caller["peer"] = access.peer
    return {"user": who.name, "caller": caller, "request_id": access.request_id}


def identity_text(access: Access) -> str:
    """Who called, as what is kept of a change names them: JSON of `caller_members`."""
    return json.dumps(caller_members(access), ensure_ascii=False)
