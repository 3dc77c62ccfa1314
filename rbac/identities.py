"""Identities: who calls, as everything behind the transport sees them."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime


class IdentityKind(enum.Enum):
    """What vouched for an identity: a host CA, a user CA or a token issuer, or the service itself."""

    COMPONENT = "component"
    USER = "user"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated caller.

    Two identities are the same when `key` is equal: serial and token id change with every renewal.
    """

    kind: IdentityKind
    name: str
    roles: frozenset[str]
    trust_anchor: str = ""
    """SHA-256 of the signing CA's SubjectPublicKeyInfo, lower-case hex, or a token's issuer; '' for the service."""
    certificate_serial: str = ""
    """Lower-case hex without leading zeros; '' for the service, and with a token."""
    cluster: str = ""
    expires: datetime | None = None
    """Time-zone-aware end of the certificate or token; None for the service."""
    not_before: datetime | None = None
    pinned_ip: str = ""
    traits: tuple[tuple[str, tuple[str, ...]], ...] = ()
    token_id: str = ""
    """The token's `jti`, else `sha256:` and the digest of what its issuer signed; '' without a token."""

    key: tuple[str, str, str] = field(init=False, compare=False, repr=False)
    """What makes two identities the same: trust anchor or issuer, kind, name. Kept, as every call asks for it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", (self.trust_anchor, self.kind.value, self.name))


SERVICE = Identity(IdentityKind.SERVICE, "extaudit", frozenset())
"""The service itself, as the emitter of its own events. No certificate or token can give it."""

SYSTEM_ROLES = frozenset(
    {
        "Auth", "Proxy", "Node", "App", "Db", "Kube", "WindowsDesktop", "Discovery", "Okta", "Bot",
        "Instance", "MDM", "Nop", "Admin", "ProvisionToken", "Signup", "RemoteProxy", "TrustedCluster",
        "AccessGraphPlugin", "Relay",
    }
)  # fmt: skip
"""Teleport's system role names; a user certificate that names one is refused, whatever its letter case."""

COMPONENT_ROLES = frozenset(
    {"Auth", "Proxy", "Node", "App", "Db", "Kube", "WindowsDesktop", "Discovery", "Okta", "Instance"}
)
"""The system roles that a component certificate may carry here: each has a preset role of the same name."""
