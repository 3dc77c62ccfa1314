"""What a token must look like before anything of it is believed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.errors import Unauthenticated
from server.tokens.compact import MAX_TOKEN_BYTES, read_token
from tests.tokens_builder import MISSING, assemble, ec_key, encoded, right_claims

KEY = ec_key()
NOT_A_JWT = "the token is not a signed JWT"
NOT_WELL_FORMED = "the token's header is not well formed"
HEADER = {"alg": "ES256", "kid": "key-1"}


def refusal(token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        read_token(token)
    return caught.value.message


def test_a_token_is_split_into_what_it_says() -> None:
    token = read_token(KEY.token(sub="alice"))
    assert (token.algorithm, token.key_id, token.claims["sub"]) == ("ES256", "key-1", "alice")


def test_its_text_and_claims_are_in_no_representation() -> None:
    text = KEY.token(sub="canary-4711")
    assert "canary-4711" not in repr(read_token(text))
    assert text not in repr(read_token(text))


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "a.b", "a.b.c", "a.b.c.d.e", f"{encoded(b'{}')}.{encoded(b'{}')}.", "..", "a b.c.d", "é.é.é",
        f"{encoded(b'[]')}.{encoded(b'{}')}.c2ln", f"{encoded(b'{}')}.{encoded(b'5')}.c2ln",
        f"{encoded(b'{')}.{encoded(b'{}')}.c2ln", f"{encoded(bytes([255]))}.{encoded(b'{}')}.c2ln",
        f"{encoded(b'{}')}==.{encoded(b'{}')}.c2ln", "\0.\0.\0", f"{encoded(b'{}')}.{encoded(b'{}')}.c2ln\n",
    ],
)  # fmt: skip
def test_garbage_is_no_token(text: str) -> None:
    assert refusal(text) == NOT_A_JWT


@pytest.mark.parametrize("part", ["header", "claims"])
@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 2}', '{"a": NaN}', '{"a": 1e999}', '{"a": -Infinity}', '{"a": {"b": 1, "b": 1}}',
     '{"team": ["red\\ud800"]}', '{"\\uDC00": 1}', '{"a": "\\ude00\\ud83d"}'],
)  # fmt: skip
def test_json_that_two_readers_could_read_differently_is_refused(part: str, text: str) -> None:
    parts: dict[str, Any] = {"header": json.dumps(HEADER), "claims": json.dumps(right_claims()), part: text}
    assert refusal(assemble(parts["header"], parts["claims"], KEY.sign)) == NOT_A_JWT


def test_a_character_in_two_escapes_is_one() -> None:
    assert read_token(assemble(HEADER, '{"team": "\\ud83d\\ude00"}', KEY.sign)).claims["team"] == "😀"


def test_deep_json_is_refused() -> None:
    assert refusal(assemble(HEADER, "[" * 3_000, KEY.sign)) == NOT_A_JWT
    assert refusal(assemble(HEADER, '{"a":' + "[" * 2_000 + "]" * 2_000 + "}", KEY.sign)) == NOT_A_JWT


def test_another_spelling_of_the_same_bytes_is_refused() -> None:
    header, claims, signature = assemble('{"alg":"ES256"} ', "{}", KEY.sign).split(".")
    assert header.endswith("A")
    assert read_token(f"{header}.{claims}.{signature}")
    assert refusal(f"{header[:-1]}B.{claims}.{signature}") == NOT_A_JWT


def test_a_token_over_its_size_is_refused_before_it_is_looked_at() -> None:
    fits = "x" * MAX_TOKEN_BYTES
    assert refusal(fits) == NOT_A_JWT
    assert refusal(fits + "x") == f"the token is larger than {MAX_TOKEN_BYTES} bytes"


@pytest.mark.parametrize("name", ["crit", "jku", "x5u", "jwk", "x5c", "b64"])
@pytest.mark.parametrize("value", [None, "", [], ["exp"], "https://evil.test/keys"])
def test_a_header_that_brings_a_key_or_a_demand_is_refused(name: str, value: Any) -> None:
    assert refusal(KEY.token({name: value})) == f"the token's header has {name}, which no token may have here"


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt", "application/JWT", MISSING])
def test_tokens_for_callers_are_of_these_types(kind: Any) -> None:
    assert read_token(KEY.token({"typ": kind}))


@pytest.mark.parametrize("kind", ["logout+jwt", "dpop+jwt", "secevent+jwt", "", None, 5, ["JWT"]])
def test_tokens_for_other_ends_are_refused(kind: Any) -> None:
    assert refusal(KEY.token({"typ": kind})) == "the token is of a type that is not for callers"


@pytest.mark.parametrize(
    "header", [{"alg": MISSING}, {"alg": None}, {"alg": 5}, {"kid": None}, {"kid": 5}, {"kid": "k" * 257}]
)
def test_a_header_names_algorithm_and_key_by_text(header: dict[str, Any]) -> None:
    assert refusal(KEY.token(header)) == NOT_WELL_FORMED


def test_the_digest_of_a_token_leaves_its_signature_out() -> None:
    header, claims, _ = KEY.token().split(".")
    one, other = (read_token(f"{header}.{claims}.{encoded(signature)}") for signature in (b"a" * 64, b"b" * 64))
    assert one.signed_digest == other.signed_digest
    assert one.signed_digest != read_token(KEY.token(sub="bob")).signed_digest
