"""The tokens with which the service vouches for itself: what is in them, and that only the published key made them."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from server.errors import FailedPrecondition, Unavailable
from server.integrations.web_identity import AUDIENCE, WebIdentityTokens, issuer_of
from tests.unit.integrations.keys_under_test import ISSUER, KeysUnderTest


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysUnderTest]:
    rig = KeysUnderTest(tmp_path_factory.mktemp("state") / "state.db")
    rig.keys.look_after()
    yield rig
    rig.close()


def part(token: str, number: int) -> dict[str, Any]:
    text = token.split(".")[number]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def test_a_token_names_issuer_audience_and_integration_and_is_good_for_an_hour(rig: KeysUnderTest) -> None:
    claims = part(rig.tokens.token("prod"), 1)
    now = rig.now_ms // 1000
    assert uuid.UUID(claims.pop("jti")).version == 4
    assert claims == {
        "iss": ISSUER,
        "sub": "extaudit:integration:prod",
        "aud": AUDIENCE,
        "iat": now - 10,
        "nbf": now - 10,
        "exp": now + 3600,
    }


def test_its_header_names_the_key_by_its_thumbprint_which_verifies_it(rig: KeysUnderTest) -> None:
    token = rig.tokens.token("prod")
    [active] = rig.by_state()["active"]
    assert part(token, 0) == {"alg": "RS256", "typ": "JWT", "kid": active}
    [row] = (key for key in rig.rows() if key.key_id == active)
    public = RSAKey.import_key(dict(row.public_key))
    assert public.thumbprint() == active
    assert len(base64.urlsafe_b64decode(row.public_key["n"] + "==")) * 8 == 2048
    assert jwt.decode(token, public, algorithms=["RS256"]).claims["sub"] == rig.tokens.subject("prod")


def test_no_two_tokens_are_the_same(rig: KeysUnderTest) -> None:
    assert rig.tokens.token("prod") != rig.tokens.token("prod")


def test_without_an_issuer_there_is_no_token() -> None:
    with pytest.raises(FailedPrecondition) as refused:
        WebIdentityTokens("", None, lambda: 0).token("prod")
    assert refused.value.reason == "NO_ISSUER"


def test_before_the_first_key_is_made_there_is_no_token(tmp_path: Path) -> None:
    rig = KeysUnderTest(tmp_path / "state.db")
    with pytest.raises(Unavailable):
        rig.tokens.token("prod")
    rig.close()


@pytest.mark.parametrize(
    ("url", "issuer"),
    [
        ("https://audit.example.com", "https://audit.example.com"),
        ("https://audit.example.com/", "https://audit.example.com"),
        ("https://Audit.Example.com:443", "https://audit.example.com"),
        ("https://audit.example.com:8443/", "https://audit.example.com:8443"),
        ("https://audit.example.com:443/tenant/a/", "https://audit.example.com/tenant/a"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_an_issuer_has_one_spelling(url: str, issuer: str) -> None:
    assert issuer_of(url) == issuer
