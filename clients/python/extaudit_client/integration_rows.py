"""Integrations, read from messages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from extaudit.v1 import integration_pb2 as pb

from extaudit_client.rows import Identity, identity_from, time_from


@dataclass(frozen=True, slots=True)
class WebIdentity:
    """What AWS has to trust: tokens of this issuer (empty where none is configured), audience and subject."""

    issuer: str
    audience: str
    subject: str


@dataclass(frozen=True, slots=True)
class Integration:
    """A name for a role that the service may assume. `role_arn` is empty for a kind that this client doesn't know."""

    name: str
    role_arn: str
    revision: str
    create_time: datetime
    update_time: datetime
    creator: Identity
    web_identity: WebIdentity


def integration_from(message: pb.Integration) -> Integration:
    """Read an integration."""
    trusted = message.web_identity
    return Integration(
        message.name,
        message.aws_oidc.role_arn,
        message.revision,
        time_from(message.create_time),
        time_from(message.update_time),
        identity_from(message.creator),
        WebIdentity(trusted.issuer, trusted.audience, trusted.subject),
    )
