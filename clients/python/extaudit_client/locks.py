"""Locks: who is barred from the service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from extaudit.v1 import access_service_pb2 as pb
from extaudit.v1 import lock_pb2

from extaudit_client.rows import Identity, identity_from, time_from

TARGETS: Final = ("user", "component", "role", "certificate_serial", "token_id")
"""What of an identity a lock may name."""


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock. `target` is one of TARGETS, `name` whom it bars; `expire_time` is None where it holds until deleted."""

    id: str
    target: str
    name: str
    reason: str
    create_time: datetime
    creator: Identity
    expire_time: datetime | None


def lock_request(
    target: str, name: str, reason: str, expire_time: datetime | None, force: bool
) -> pb.CreateLockRequest:
    """Write a request.

    Raises:
        ValueError: the target is none of TARGETS, or the time has no zone.
    """
    if target not in TARGETS:
        raise ValueError(f"{target!r} is not one of {', '.join(TARGETS)}")
    request = pb.CreateLockRequest(reason=reason, force=force)
    setattr(request.target, target, name)
    if expire_time is not None:
        if expire_time.tzinfo is None:
            raise ValueError("expire_time must have a time zone")
        request.expire_time.FromDatetime(expire_time.astimezone(UTC))
    return request


def lock_from(message: lock_pb2.Lock) -> Lock:
    """Read a lock; a target that this client doesn't know is empty."""
    target = message.target.WhichOneof("target") or ""
    return Lock(
        message.id,
        target,
        getattr(message.target, target) if target else "",
        message.reason,
        time_from(message.create_time),
        identity_from(message.creator),
        time_from(message.expire_time) if message.HasField("expire_time") else None,
    )
