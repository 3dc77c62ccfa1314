"""Validation of a message's events: the compiled scan, and the exact rules for what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple, TypeAlias

import numpy as np

from rbac.identities import Identity, IdentityKind
from server.audit_log.columns.event_scan import scan_events
from server.audit_log.columns.hashing import HashKeys, hash_keys
from server.audit_log.columns.layout import STATE, Bytes, Table
from server.audit_log.emitter_bytes import MAX_REMEMBERED
from server.audit_log.event import Event, parse_event, stored_event
from server.audit_log.event_block import EventBlock, settled_block
from server.audit_log.timestamps import DAY_MS
from server.errors import InvalidRequest, PermissionDenied, Violation

# Bytes that can't be written, as all that comes from the wire: for those that can the scan would be compiled once more.
_NOBODY = np.frombuffer(b"", np.uint8)
_NAMELESS = np.frombuffer(b"\0", np.uint8)
"""A server id that no event has."""


@dataclass(slots=True)
class Payloads:
    """The JSON of a message's events: where each is in one buffer, or why it has none."""

    data: Bytes
    spans: Table
    """Start and end of each; shape (events, 2)."""
    largest: int
    """Bytes of the largest."""
    refused: dict[int, InvalidRequest] = field(default_factory=dict)
    """By index, those that have no JSON; their spans are empty."""

    def __len__(self) -> int:
        return len(self.spans)

    def payload(self, index: int) -> bytes:
        """The JSON of one."""
        start, end = self.spans[index].tolist()
        return self.data[start:end].tobytes()


@dataclass(frozen=True, slots=True)
class UnreadPayloads:
    """Payloads that may take long to be made of what came, and so are made where they are validated."""

    count: int
    size: int
    """Bytes of what came."""
    read: Callable[[], Payloads]

    def __len__(self) -> int:
        return self.count


def joined_payloads(payloads: Sequence[bytes | InvalidRequest]) -> Payloads:
    """The payloads in one buffer."""
    pieces = [b"" if isinstance(payload, InvalidRequest) else payload for payload in payloads]
    refused = {index: payload for index, payload in enumerate(payloads) if isinstance(payload, InvalidRequest)}
    sizes = [len(piece) for piece in pieces]
    spans = np.empty((len(pieces), 2), np.int64)
    spans[:, 1] = list(accumulate(sizes))
    spans[:, 0] = spans[:, 1] - sizes
    return Payloads(np.frombuffer(b"".join(pieces), np.uint8), spans, max(sizes, default=0), refused)


def single_payload(payload: bytes) -> Payloads:
    """As `joined_payloads` of one, for a fraction of the time."""
    size = len(payload)
    return Payloads(np.frombuffer(payload, np.uint8), np.array([[0, size]], np.int64), size)


Refusal: TypeAlias = InvalidRequest | PermissionDenied


class Validated(NamedTuple):
    """What of a message is accepted, and why the rest isn't."""

    block: EventBlock
    errors: Mapping[int, Refusal] = {}
    """By index in the message."""
    assigned: Sequence[tuple[int, str]] = ()
    """The uids that were given to events that came without."""

    @property
    def refused(self) -> list[tuple[int, list[Violation]]]:
        """What is wrong with each event that is refused, by index in the message."""
        return [(index, _violations(error)) for index, error in self.errors.items()]

    @property
    def denied(self) -> int:
        """How many of them speak for another component."""
        return sum(isinstance(error, PermissionDenied) for error in self.errors.values())


def _violations(error: Refusal) -> list[Violation]:
    return [Violation("server_id", error.message)] if isinstance(error, PermissionDenied) else error.violations


class _Emitter(NamedTuple):
    """What all events of one emitter share."""

    identity: Identity
    keys: HashKeys
    own: Bytes
    """The server id that it may speak for; empty where it may name any."""


def _own(emitter: Identity) -> Bytes:
    if emitter.kind is not IdentityKind.COMPONENT:
        return _NOBODY
    return np.frombuffer(emitter.name.encode(), np.uint8) if emitter.name else _NAMELESS


class Validator:
    """Validates events. Safe to use from several threads."""

    def __init__(self, secret: bytes, max_event_bytes: int) -> None:
        """`secret` keys the fingerprints; with another one no retry of an event from before is known as one."""
        self._secret = secret
        self._max_event_bytes = max_event_bytes
        self._known: dict[int, _Emitter] = {}

    def keys(self, emitter: Identity) -> HashKeys:
        """The keys of an emitter's hashes."""
        return self._emitter(emitter).keys

    def _emitter(self, identity: Identity) -> _Emitter:
        # By the object, as in emitter_bytes.py: what is remembered keeps its identity.
        known = self._known.get(id(identity))
        if known is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            known = self._known[id(identity)] = _Emitter(identity, self._keys("\0".join(identity.key)), _own(identity))
        return known

    def _keys(self, emitter: str) -> HashKeys:
        return hash_keys(self._secret, emitter.encode())

    def validate(self, payloads: Payloads, emitter: Identity, now_ms: int, *, own: bool = False) -> Validated:
        """Validate a message's events. With `own` they may be twice as large: the service's."""
        _, keys, speaker = self._emitter(emitter)
        most = self._max_event_bytes * (2 if own else 1)
        table, slow = scan_events(
            payloads.data,
            payloads.spans,
            keys,
            largest=payloads.largest,
            newest_ms=now_ms + DAY_MS,
            max_bytes=most,
            own=speaker,
            reserved=emitter.kind is IdentityKind.SERVICE,
        )
        if not slow:
            return Validated(EventBlock(payloads.data, table))
        events: dict[int, Event] = {}
        errors: dict[int, Refusal] = {}
        for index in np.flatnonzero(table[:, STATE]).tolist():
            try:
                if index in payloads.refused:
                    raise payloads.refused[index]
                events[index] = parse_event(payloads.payload(index), emitter, now_ms=now_ms, max_bytes=most)
            except (InvalidRequest, PermissionDenied) as error:
                errors[index] = error
        assigned = [(index, event.uid) for index, event in events.items() if event.uid_assigned]
        return Validated(settled_block(payloads.data, table, events, keys), errors, assigned)

    def stored(self, data: Sequence[bytes]) -> EventBlock:
        """The block of events that were validated before, from their stored JSON; their fingerprints are not set."""
        keys, payloads = self._keys(""), joined_payloads(data)
        table, slow = scan_events(
            payloads.data,
            payloads.spans,
            keys,
            largest=payloads.largest,
            newest_ms=2**62,
            max_bytes=2**62,
            reserved=True,
        )
        events = (
            {index: stored_event(data[index]) for index in np.flatnonzero(table[:, STATE]).tolist()} if slow else {}
        )
        return settled_block(payloads.data, table, events, keys)
