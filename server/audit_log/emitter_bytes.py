"""What all events of one emitter share, worked out once."""

from __future__ import annotations

from typing import NamedTuple

from rbac.identities import Identity
from server.audit_log.access import Access
from server.audit_log.receipts import encode_emitter

MAX_REMEMBERED = 4096


class EmitterBytes(NamedTuple):
    """An emitter as frames keep it."""

    identity: Identity
    receipt: bytes
    """The identity and the address it calls from, as `encode_emitter` writes them."""


class EmitterTable:
    """Remembers the bytes of those who emitted last. With several threads at worst something is worked out twice."""

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        self._known: dict[tuple[int, str], EmitterBytes] = {}

    def find(self, access: Access) -> EmitterBytes:
        """The bytes of who calls."""
        identity = access.identity
        # By the object, as hashing an identity costs more than all this. What is remembered keeps its identity, so that
        # no other one can come to stand at the same place in memory.
        place = id(identity), access.peer
        known = self._known.get(place)
        if known is None:
            if len(self._known) >= self._limit:
                self._known.clear()
            known = self._known[place] = EmitterBytes(identity, encode_emitter(identity, access.peer))
        return known
