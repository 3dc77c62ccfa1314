"""Events as the client exports them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from extaudit_client import EmitterAtPeer, ExportedEvents, Identity

ALICE = EmitterAtPeer(Identity("user", "alice", "ca", "1f"), "ipv4:127.0.0.1:1")


def exported(payloads: Sequence[bytes], **columns: Any) -> ExportedEvents:
    count = len(payloads)
    members: dict[str, Any] = {
        "storage": "default",
        "log_id": "l",
        "sequences": list(range(1, count + 1)),
        "times_ms": [1_714_564_800_123] * count,
        "types": ["a.b"] * count,
        "uids": [f"u{number}" for number in range(1, count + 1)],
        "session_ids": [""] * count,
        "users": ["alice"] * count,
        "json": b"".join(payloads),
        "json_sizes": list(map(len, payloads)),
        "emitters": (ALICE,),
        "emitter_numbers": [1] * count,
        "received_ms": [1_714_564_801_000] * count,
        "through_sequence": count,
    }
    return ExportedEvents(**members | columns)
