"""What a use case is given about its caller, after the transport has authenticated and authorised the call."""

from __future__ import annotations

from dataclasses import dataclass

from rbac.formulas import ALWAYS, Formula
from rbac.identities import Identity


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
