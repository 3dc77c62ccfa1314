"""Validation of a message's events: the compiled scan, and the exact rules for what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from rbac.identities import Identity, IdentityKind
from server.audit_log.columns.event_scan import scan_events
from server.audit_log.columns.hashing import HashKeys, hash_keys
from server.audit_log.columns.layout import STATE, Bytes, Table
from server.audit_log.columns.summaries import longest
from server.audit_log.event import Event, parse_event, stored_event
from server.audit_log.event_block import EventBlock, settled_block
from server.audit_log.timestamps import DAY_MS
from server.errors import InvalidRequest, PermissionDenied, Violation

# Bytes that can't be written, as all that comes from the wire: for those that can the scan would be compiled once more.
_NOBODY = np.frombuffer(b"", np.uint8)
_NAMELESS = np.frombuffer(b"\0", np.uint8)
"""A server id that no event has."""


@dataclass(frozen=True, slots=True)
class Payloads:
    """The JSON of a message's events: where each is in one buffer, or why it has none."""

    data: Bytes
    spans: Table
    """Start and end of each; shape (events, 2)."""
    refused: dict[int, InvalidRequest] = field(default_factory=dict)
    """By index, those that have no JSON; their spans are empty."""

    def __len__(self) -> int:
        return len(self.spans)

    @property
    def largest(self) -> int:
        """Bytes of the largest."""
        return longest(self.spans)

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
    ends = np.cumsum([0, *(len(piece) for piece in pieces)], dtype=np.int64)
    spans = np.stack([ends[:-1], ends[1:]], axis=1)
    return Payloads(np.frombuffer(b"".join(pieces), np.uint8), spans, refused)


Refusal: TypeAlias = InvalidRequest | PermissionDenied


@dataclass(frozen=True, slots=True)
class Validated:
    """What of a message is accepted, and why the rest isn't."""

    block: EventBlock
    errors: Mapping[int, Refusal] = field(default_factory=dict)
    """By index in the message."""
    assigned: list[tuple[int, str]] = field(default_factory=list)
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


class Validator:
    """Validates events. Safe to use from several threads."""

    def __init__(self, secret: bytes, max_event_bytes: int) -> None:
        """`secret` keys the fingerprints; with another one no retry of an event from before is known as one."""
        self._max_event_bytes = max_event_bytes
        self._keys = lru_cache(4096)(lambda emitter: hash_keys(secret, emitter.encode()))

    def keys(self, emitter: Identity) -> HashKeys:
        """The keys of an emitter's hashes."""
        keys: HashKeys = self._keys("\0".join(emitter.key))
        return keys

    def validate(self, payloads: Payloads, emitter: Identity, now_ms: int, *, own: bool = False) -> Validated:
        """Validate a message's events. With `own` they may be twice as large: the service's."""
        keys, most = self.keys(emitter), self._max_event_bytes * (2 if own else 1)
        speaker = _NOBODY
        if emitter.kind is IdentityKind.COMPONENT:
            speaker = np.frombuffer(emitter.name.encode(), np.uint8) if emitter.name else _NAMELESS
        table, slow = scan_events(
            payloads.data, payloads.spans, keys, newest_ms=now_ms + DAY_MS, max_bytes=most, own=speaker
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
        keys: HashKeys = self._keys("")
        payloads = joined_payloads(data)
        table, slow = scan_events(payloads.data, payloads.spans, keys, newest_ms=2**62, max_bytes=2**62)
        events = (
            {index: stored_event(data[index]) for index in np.flatnonzero(table[:, STATE]).tolist()} if slow else {}
        )
        return settled_block(payloads.data, table, events, keys)
