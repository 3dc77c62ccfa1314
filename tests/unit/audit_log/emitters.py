"""Identities that emit, and what tests of events share."""

from __future__ import annotations

from rbac.identities import Identity, IdentityKind
from server.audit_log.columns.layout import FINGERPRINT, Table
from server.audit_log.event import Event, parse_event

NOW_MS = 1_795_000_000_000
"""2026-11-18T11:06:40Z."""
MAX_BYTES = 2**21
USER = Identity(IdentityKind.USER, "alice", frozenset({"importer"}), "anchor", "01")
NODE = Identity(IdentityKind.COMPONENT, "node-1", frozenset({"Node"}), "anchor", "02")
PROXY = Identity(IdentityKind.COMPONENT, "proxy-1", frozenset({"Proxy"}), "anchor", "03")


def parsed(raw: bytes | str, emitter: Identity = USER, *, now_ms: int = NOW_MS) -> Event:
    data = raw.encode() if isinstance(raw, str) else raw
    return parse_event(data, emitter, now_ms=now_ms, max_bytes=MAX_BYTES)


def fingerprint(table: Table, index: int) -> bytes:
    """The 16 bytes of one event's fingerprint, as a frame has them."""
    return table[index, FINGERPRINT : FINGERPRINT + 2].tobytes()
