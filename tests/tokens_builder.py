"""Tokens of every shape, right and wrong, signed by hand so that nothing refuses to make them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from server.config import TokenIssuer

ISSUER = "https://id.test"
AUDIENCE = "extaudit"
MISSING = object()
"""As the value of a claim or header: leave it out."""

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass
class KeySetNotes:
    """What is told of issuers' keys: what happened, and the ids of the keys; of a refusal also why."""

    told: list[tuple[str, ...]] = field(default_factory=list)

    def key_set_reloaded(self, issuer: str, key_ids: Sequence[str]) -> None:
        self.told.append(("reloaded", *key_ids))

    def key_set_refused(self, issuer: str, key_ids: Sequence[str], reason: str) -> None:
        self.told.append(("refused", *key_ids, reason))

    def key_set_expired(self, issuer: str, key_ids: Sequence[str]) -> None:
        self.told.append(("expired", *key_ids))


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int | None = None) -> str:
    return encoded(value.to_bytes(size or (value.bit_length() + 7) // 8))


@dataclass(frozen=True)
class SigningKey:
    """A key of an issuer, under the id that its tokens name."""

    key: PrivateKey
    kid: str = "key-1"

    @property
    def algorithm(self) -> str:
        if isinstance(self.key, rsa.RSAPrivateKey):
            return "RS256"
        return "ES256" if isinstance(self.key, ec.EllipticCurvePrivateKey) else "EdDSA"

    @property
    def public_pem(self) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_key().public_bytes(serialization.Encoding.PEM, form)

    def jwk(self, **changes: Any) -> dict[str, Any]:
        members = {"kid": self.kid, "use": "sig", "alg": self.algorithm, **_public_members(self.key), **changes}
        return {name: value for name, value in members.items() if value is not MISSING}

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self.key.sign(data, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32) + s.to_bytes(32)
        return self.key.sign(data)

    def token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token that is right but for the given changes of header and claims."""
        head = {"typ": "JWT", "alg": self.algorithm, "kid": self.kid, **(header or {})}
        return assemble(_present(head), _present({**right_claims(), **claims}), self.sign)


def rsa_key(kid: str = "key-1", bits: int = 2048) -> SigningKey:
    return SigningKey(rsa.generate_private_key(65537, bits), kid)


def ec_key(kid: str = "key-1") -> SigningKey:
    return SigningKey(ec.generate_private_key(ec.SECP256R1()), kid)


def ed_key(kid: str = "key-1") -> SigningKey:
    return SigningKey(ed25519.Ed25519PrivateKey.generate(), kid)


def right_claims() -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "roles": ["auditor", "importer"],
        "iat": now,
        "exp": now + 3600,
        "jti": "token-1",
    }


def assemble(header: dict[str, Any] | str, claims: dict[str, Any] | str, sign: Any) -> str:
    """Header and claims as given, as texts byte for byte; `sign` makes the signature of what comes before it."""
    texts = [part if isinstance(part, str) else json.dumps(part) for part in (header, claims)]
    signed = ".".join(encoded(text.encode()) for text in texts)
    return f"{signed}.{encoded(sign(signed.encode()))}"


def hmac_with(secret: bytes) -> Any:
    return lambda data: hmac.new(secret, data, hashlib.sha256).digest()


def jwks(*keys: SigningKey | dict[str, Any]) -> bytes:
    return json.dumps({"keys": [key.jwk() if isinstance(key, SigningKey) else key for key in keys]}).encode()


def issuer(**changes: Any) -> TokenIssuer:
    settings = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": f"{ISSUER}/keys", **changes}
    return TokenIssuer(**settings)


@dataclass
class MemorySource:
    """A key set as a test sets it; an exception is raised."""

    document: bytes | Exception = field(default_factory=jwks)
    reads: int = 0

    async def read(self) -> bytes:
        self.reads += 1
        if isinstance(self.document, Exception):
            raise self.document
        return self.document


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not MISSING}


def _public_members(key: PrivateKey) -> dict[str, str]:
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        return {"kty": "EC", "crv": "P-256", "x": number(point.x, 32), "y": number(point.y, 32)}
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": encoded(raw)}
