"""The settings of the service's own issuer, beside its URL."""

from __future__ import annotations

# ruff: noqa: RUF009 -- setting() makes a field() description, nothing that instances could share.
from dataclasses import dataclass
from pathlib import Path

from server.config.fields import setting


@dataclass(frozen=True, slots=True)
class IssuerSection:
    """The keys that sign the tokens by which AWS knows the service; they count only where `issuer_url` is set."""

    rotation_days: float = setting(
        90.0,
        "Age of the key that signs at which the next one takes over by itself.",
        unit="days",
        low=0.00001,
        high=3_650.0,
        reload=True,
    )
    publish_ahead_seconds: float = setting(
        86_400.0,
        "How long a key is published before it signs, since AWS keeps the key set for a while.",
        unit="seconds",
        low=0.0,
        high=2_592_000.0,
        reload=True,
    )
    wrapping_key: Path | None = setting(
        None,
        "Key of 32 random bytes that encrypts private keys in the state database; a file that is named must be there.",
        unit="file",
        shown="`<data-dir>/identity/signing-keys.key`, made when it is needed",
    )
