"""Which keys of a key set count, and for which algorithm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from server.tokens.compact import read_token
from server.tokens.jwks import MAX_JWKS_BYTES, JwksProblem, read_jwks
from server.tokens.signatures import is_signed_by
from tests.tokens_builder import (
    MISSING,
    SigningKey,
    assemble,
    ec_key,
    ed_key,
    encoded,
    hmac_with,
    jwks,
    right_claims,
    rsa_key,
)

RSA, EC, ED = rsa_key("rsa"), ec_key("ec"), ed_key("ed")


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=["RS256", "ES256", "EdDSA"])
def test_a_key_verifies_what_it_signed_with_its_own_algorithm(key: SigningKey) -> None:
    [public] = read_jwks(jwks(key))
    assert (public.key_id, public.algorithm) == (key.kid, key.algorithm)
    assert is_signed_by(read_token(key.token()), public)
    header, claims, signature = key.token().split(".")
    assert not is_signed_by(read_token(f"{header}.{encoded(b'{}')}.{signature}"), public)
    assert not is_signed_by(read_token(f"{header}.{claims}.{encoded(b'x' * 64)}"), public)


@pytest.mark.parametrize(
    "algorithm", ["none", "HS256", "RS384", "RS512", "PS256", "ES256", "EdDSA", "rs256", "Ed25519"]
)
def test_a_tokens_header_does_not_choose_the_algorithm(algorithm: str) -> None:
    [public] = read_jwks(jwks(RSA))
    header = {"alg": algorithm, "kid": "rsa"}
    for sign in (RSA.sign, hmac_with(RSA.public_pem), lambda _: b"x"):
        assert not is_signed_by(read_token(assemble(header, right_claims(), sign)), public)


def test_another_algorithm_of_the_same_key_is_not_taken_though_the_signature_is_right() -> None:
    [public] = read_jwks(jwks(RSA))
    assert isinstance(RSA.key, rsa.RSAPrivateKey)
    for algorithm, fill, digest in (
        ("RS512", padding.PKCS1v15(), hashes.SHA512()),
        ("PS256", padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()),
    ):
        header = {"alg": algorithm, "kid": "rsa"}
        token = assemble(header, right_claims(), lambda data, f=fill, d=digest: RSA.key.sign(data, f, d))
        assert not is_signed_by(read_token(token), public)


@pytest.mark.parametrize(
    "member",
    [
        RSA.jwk(alg="PS256"), RSA.jwk(alg="RS512"), EC.jwk(alg="RS256"), ED.jwk(alg="Ed25519"), RSA.jwk(use="enc"),
        RSA.jwk(key_ops=["sign"]), RSA.jwk(kid=5), RSA.jwk(kid="k" * 257), RSA.jwk(n=MISSING), RSA.jwk(n="!"),
        RSA.jwk(n=5), EC.jwk(crv="P-384"), EC.jwk(x="AAAA"), ED.jwk(crv="X25519"), ED.jwk(x="AA"), "text", 5, None, [],
        {"kty": "oct", "kid": "rsa", "k": encoded(RSA.public_pem), "alg": "HS256"}, {"kty": ["RSA"]}, {},
        rsa_key(bits=1024).jwk(), RSA.jwk(n=encoded(b"\xff" * 1025)),
    ],
)  # fmt: skip
def test_a_key_that_is_not_for_this_is_left_out_and_the_others_count(member: Any) -> None:
    assert [key.key_id for key in read_jwks(json.dumps({"keys": [member, EC.jwk()]}).encode())] == ["ec"]


@pytest.mark.parametrize(
    "changes", [{"alg": MISSING}, {"use": MISSING}, {"key_ops": ["verify"]}, {"x": 1}, {"d": "AA"}]
)
def test_a_key_need_not_say_what_it_is_for(changes: dict[str, Any]) -> None:
    [public] = read_jwks(jwks(RSA.jwk(**changes)))
    assert public.algorithm == "RS256"
    assert not public.key.is_private


def test_a_key_without_an_id_has_the_empty_one_and_some_may_share_it() -> None:
    keys = read_jwks(jwks(RSA.jwk(kid=MISSING), EC.jwk(kid="")))
    assert [(key.key_id, key.algorithm) for key in keys] == [("", "RS256"), ("", "ES256")]
    with pytest.raises(JwksProblem, match="more than 4 keys of one id"):
        read_jwks(jwks(*(ed_key("").jwk() for _ in range(5))))


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b"[]", b"5", b"{}", b'{"keys": {}}', b'{"keys": null}', b"<html>", b"\xff", b"[" * 100_000],
)
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(JwksProblem, match="not a JSON object with a list of keys"):
        read_jwks(document)


def test_a_set_without_keys_is_a_set() -> None:
    assert read_jwks(b'{"keys": []}') == ()


def test_a_set_is_bounded_in_bytes_and_keys() -> None:
    assert len(read_jwks(jwks(*(ed_key(f"k{n}") for n in range(64))))) == 64
    with pytest.raises(JwksProblem, match="more than 64 keys"):
        read_jwks(jwks(*([{}] * 65)))
    with pytest.raises(JwksProblem, match="larger than"):
        read_jwks(b" " * (MAX_JWKS_BYTES + 1))
