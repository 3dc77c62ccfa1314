"""Token issuers: whether their keys can be had."""

from __future__ import annotations

import asyncio
from typing import Final

from server.config import TokenIssuer
from server.doctor.data_at_hand import DataAtHand
from server.doctor.findings import Fact, Fault, Severity, Told
from server.tokens.jwks import JwksProblem, read_jwks
from server.tokens.sources import JwksFile, JwksUrl

REFUSED: Final = Fault(
    "token_keys_refused",
    Severity.ERROR,
    "The keys of a token issuer can't be had, or are no key set: its tokens are refused.",
    "Look at jwks_file or jwks_url of the issuer: the file's content and mode, or the address, its certificate and "
    "jwks_ca.",
)
NONE: Final = Fault(
    "token_keys_none",
    Severity.ERROR,
    "The key set of a token issuer has no key that can be used: its tokens are refused.",
    "Have the issuer publish an RSA key of 2048 bits or more, a P-256 or an Ed25519 key, for signatures.",
)

FAULTS: Final = (REFUSED, NONE)


def check(at: DataAtHand) -> Told:
    """Fetch and read every key set, as a server would."""
    for issuer in at.config.grpc.token_issuers:
        try:
            keys = read_jwks(asyncio.run(_fetch(issuer)))
        except JwksProblem as problem:
            yield REFUSED.of(issuer.issuer, str(problem))
            continue
        if not keys:
            yield NONE.of(issuer.issuer)
    yield Fact("issuers", len(at.config.grpc.token_issuers))


async def _fetch(issuer: TokenIssuer) -> bytes:
    if issuer.jwks_file is not None:
        return await JwksFile(issuer.jwks_file).read()
    return await JwksUrl(issuer.jwks_url or "", issuer.jwks_ca).read()
