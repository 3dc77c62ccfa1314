"""The tokens with which the service vouches for itself towards AWS, one for each integration and time."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from server.errors import FailedPrecondition
from server.integrations.key_life import TOKEN_MS
from server.integrations.signing_keys import SigningKeys

AUDIENCE: Final = "extaudit.aws"
"""What tokens have in `aud`, and a client id of the identity provider in AWS."""
_AHEAD_SECONDS: Final = 10
"""AWS's clock may be behind."""


def issuer_of(url: str) -> str:
    """The issuer that a configured URL means: host in lower case, without the scheme's own port or a last slash."""
    parts = urlsplit(url)
    own = {"https": 443, "http": 80}.get(parts.scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = "" if parts.port in (None, own) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def subject(integration_name: str) -> str:
    """What tokens for an integration have in `sub`; no two integrations share it."""
    return f"extaudit:integration:{integration_name}"


@dataclass(frozen=True, slots=True)
class WebIdentityTokens:
    """Signs tokens. Safe to use from several threads; `token` blocks for a millisecond or two."""

    issuer: str
    """As tokens have it in `iss`; '' where none is configured."""
    keys: SigningKeys | None
    """None where no issuer is configured."""
    now_ms: Callable[[], int]
    audience: str = AUDIENCE

    def subject(self, integration_name: str) -> str:
        """As the function of this name."""
        return subject(integration_name)

    def token(self, integration_name: str) -> str:
        """A new token for an integration, good for an hour. It must never be logged, shown or returned by an RPC.

        Raises:
            FailedPrecondition: no issuer is configured (NO_ISSUER).
            Unavailable: the state database can't be read now.
        """
        if self.keys is None:
            raise no_issuer()
        now = self.now_ms() // 1000
        return self.keys.signer().signed(
            {
                "iss": self.issuer,
                "sub": subject(integration_name),
                "aud": self.audience,
                "jti": str(uuid.uuid4()),
                "iat": now - _AHEAD_SECONDS,
                "nbf": now - _AHEAD_SECONDS,
                "exp": now + TOKEN_MS // 1000,
            }
        )


def no_issuer() -> FailedPrecondition:
    """What a use case raises that needs an issuer where none is configured."""
    return FailedPrecondition("no issuer is configured: issuer_url is not set", reason="NO_ISSUER")
