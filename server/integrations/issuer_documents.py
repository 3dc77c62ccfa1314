"""The two documents by which others verify the service's tokens, at their paths below the issuer's URL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

import orjson

from server.integrations.key_making import ALGORITHM
from server.integrations.signing_keys import SigningKeys
from server.state.signing_keys import SigningKey

CONFIGURATION: Final = "/.well-known/openid-configuration"
KEY_SET: Final = "/.well-known/jwks-oidc"
_CLAIMS: Final = ("iss", "sub", "aud", "jti", "iat", "exp", "nbf")


class IssuerDocuments:
    """Both documents as of the keys that this process knows; made anew only when those change."""

    def __init__(self, issuer: str, keys: SigningKeys) -> None:
        self._issuer = issuer
        self._keys = keys
        self._made: tuple[int, Mapping[str, bytes]] = (-1, {})

    def current(self) -> Mapping[str, bytes]:
        """Each document by its path. Blocks on nothing."""
        known = self._keys.known
        revision, documents = self._made
        if revision != known.revision:
            at, keys_at = paths_of(self._issuer)
            documents = {at: configuration(self._issuer), keys_at: key_set(known.published)}
            self._made = known.revision, documents
        return documents


def configuration(issuer: str) -> bytes:
    """What the issuer is and does."""
    return orjson.dumps(
        {
            "issuer": issuer,
            "jwks_uri": issuer + KEY_SET,
            # The standard has the one name, Teleport the other.
            "claims_supported": _CLAIMS,
            "claims": _CLAIMS,
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "response_types_supported": ["id_token"],
            "scopes_supported": ["openid"],
            "subject_types_supported": ["public"],
        }
    )


def key_set(published: Iterable[SigningKey]) -> bytes:
    """The public halves of keys: ids are their thumbprints."""
    keys = [{**key.public_key, "alg": ALGORITHM, "use": "sig", "kid": key.key_id} for key in published]
    return orjson.dumps({"keys": keys})


def paths_of(issuer: str) -> tuple[str, str]:
    """Where the two documents are on the issuer's host."""
    below = urlsplit(issuer).path
    return below + CONFIGURATION, below + KEY_SET
