"""The keys that sign the service's own tokens, as the service tells of them: never a part of a key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from extaudit.v1 import integration_pb2 as pb

from extaudit_client.names import SIGNING_KEY_STATES, name_of
from extaudit_client.rows import time_from


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key. `state` is `next`, `active`, `retiring` or `retired`."""

    key_id: str
    state: str
    create_time: datetime
    activate_time: datetime | None
    """When it began to sign; None before."""
    retire_time: datetime | None
    """When it leaves, or left, the published set; None for a key that signs or will sign."""


def signing_key_from(message: pb.SigningKey) -> SigningKey:
    """Read a key."""
    return SigningKey(
        message.key_id,
        name_of(message.state, SIGNING_KEY_STATES),
        time_from(message.create_time),
        time_from(message.activate_time) if message.HasField("activate_time") else None,
        time_from(message.retire_time) if message.HasField("retire_time") else None,
    )
