"""The check of the issuer's documents, as this machine sees them where AWS looks for them."""

from __future__ import annotations

import base64
import time
from typing import Final

import orjson

from server.storage.connection import Check, Outcome
from server.tokens.jwks import JwksProblem, read_jwks
from server.tokens.sources import JwksUrl

ISSUER: Final = "credentials.issuer"
_CONFIGURATION: Final = "/.well-known/openid-configuration"
_SECONDS: Final = 5.0


async def check_issuer(issuer: str, token: str) -> Check:
    """Fetch both documents and look for the key that signed `token`.

    What can't be reached from here may still be reached by AWS, and the other way round: so it is a warning at most,
    and whether AWS accepts the token decides.
    """
    began = time.monotonic()
    outcome, detail, remedy = await _look(issuer, token)
    setting = "" if outcome is Outcome.PASSED else "issuer_url"
    return Check(
        ISSUER, issuer, outcome, detail, wrong_setting=setting, remedy=remedy, seconds=time.monotonic() - began
    )


async def _look(issuer: str, token: str) -> tuple[Outcome, str, str]:
    try:
        document = orjson.loads(await JwksUrl(issuer + _CONFIGURATION, seconds=_SECONDS).read())
        told, uri = document.get("issuer"), document.get("jwks_uri")
        if told != issuer:
            return _wrong("The document at the issuer's URL names another issuer.")
        if not isinstance(uri, str) or not uri.startswith(f"{issuer}/"):
            return _wrong("The issuer's document names no key set of its own.")
        keys = read_jwks(await JwksUrl(uri, seconds=_SECONDS).read())
    except (JwksProblem, ValueError, AttributeError):
        return (
            Outcome.WARNING,
            "The issuer's documents could not be fetched from this machine, which may be so though AWS reaches them.",
            f"See that {issuer}{_CONFIGURATION} can be reached from the internet by https.",
        )
    if _key_id(token) not in {key.key_id for key in keys}:
        return _wrong("The published key set does not have the key that signs the service's tokens.")
    return Outcome.PASSED, "Its documents are there, and have the key that signs the service's tokens.", ""


def _wrong(detail: str) -> tuple[Outcome, str, str]:
    return Outcome.WARNING, detail, "See that `issuer_url` leads to this service's public listener."


def _key_id(token: str) -> str:
    header = token.partition(".")[0]
    return str(orjson.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4))).get("kid", ""))
