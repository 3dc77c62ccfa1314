"""Whether a key signed a token: the one place that calls the library's verification."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError

from server.tokens.compact import MAX_TOKEN_BYTES, UnverifiedToken
from server.tokens.jwks import PublicKey


class _OneAlgorithm(jws.JWSRegistry):
    """Knows the key's algorithm only, so that a token can't choose another."""

    max_header_length = MAX_TOKEN_BYTES

    def __init__(self, algorithm: str) -> None:
        super().__init__(algorithms=[algorithm], strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        """The algorithm, without the library's warning that EdDSA has a newer name."""
        if self.allowed is None or name not in self.allowed:
            raise JoseError("another algorithm than the key's")
        return self.algorithms[name]


_REGISTRIES: Final[Mapping[str, _OneAlgorithm]] = MappingProxyType(
    {name: _OneAlgorithm(name) for name in ("RS256", "ES256", "EdDSA")}
)


def is_signed_by(token: UnverifiedToken, key: PublicKey) -> bool:
    """Whether the key signed the token, with the key's own algorithm."""
    try:
        jws.deserialize_compact(token.text, key.key, registry=_REGISTRIES[key.algorithm])
    except (JoseError, ValueError, TypeError):
        return False
    return True
