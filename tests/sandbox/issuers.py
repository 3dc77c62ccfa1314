"""The documents of token issuers: fetched over HTTP, keys kept until a token comes with one that isn't among them."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from tests.sandbox.refusals import Refused

_SECONDS = 60
_MOST_BYTES = 1 << 20
_NO_KEY = (
    "Couldn't retrieve verification key from your identity provider, please reference "
    "AssumeRoleWithWebIdentity documentation for requirements"
)


def unverifiable() -> Refused:
    """What AWS says wherever it finds no key for a token."""
    return Refused("InvalidIdentityToken", _NO_KEY)


class Issuers:
    """Keys by issuer and key id."""

    def __init__(self, authority: Path | None) -> None:
        """`authority` is a PEM file of who may sign the issuers' certificates; None is the system's authorities."""
        context = ssl.create_default_context(cafile=str(authority) if authority else None)
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), _NoRedirects()
        )
        self._keys: dict[str, dict[str, RSAPublicKey]] = {}
        self._lock = threading.Lock()

    def key(self, issuer: str, key_id: str) -> RSAPublicKey:
        """The key of this id; raises Refused where the issuer can't be asked, or has none of that id."""
        with self._lock:
            known = self._keys.get(issuer, {}).get(key_id)
        if known is not None:
            return known
        fetched = self._fetch_keys(issuer)
        with self._lock:
            self._keys[issuer] = fetched
        if key_id not in fetched:
            raise unverifiable()
        return fetched[key_id]

    def forget(self) -> None:
        """Ask the issuers anew, as AWS does after some hours."""
        with self._lock:
            self._keys.clear()

    def _fetch_keys(self, issuer: str) -> dict[str, RSAPublicKey]:
        configuration = self._fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if configuration.get("issuer") != issuer or not isinstance(configuration.get("jwks_uri"), str):
            raise unverifiable()
        keys = self._fetch(configuration["jwks_uri"]).get("keys")
        if not isinstance(keys, list):
            raise unverifiable()
        return {str(key["kid"]): public_key(key) for key in keys if isinstance(key, dict) and _is_usable(key)}

    def _fetch(self, url: str) -> Mapping[str, Any]:
        if not is_fetchable(url):
            raise unverifiable()
        try:
            with self._opener.open(url, timeout=_SECONDS) as answer:
                found = json.loads(answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            error.close()
            raise unverifiable() from None
        except (OSError, HTTPException) as error:
            message = f"Could not connect to the identity provider ({type(error).__name__})"
            raise Refused("IDPCommunicationError", message) from None
        except ValueError:
            raise unverifiable() from None
        if not isinstance(found, dict):
            raise unverifiable()
        return found


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Nowhere: the redirect itself is the answer, which is an error."""


def is_fetchable(url: str) -> bool:
    """Whether an issuer may be there: by https, or by http on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def decode(text: str) -> bytes:
    """Base64 as tokens have it, without padding; raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def public_key(key: Mapping[str, Any]) -> RSAPublicKey:
    """An RSA key of a key set."""
    numbers = (int.from_bytes(decode(str(key[name])), "big") for name in ("e", "n"))
    return RSAPublicNumbers(*numbers).public_key()


def _is_usable(key: Mapping[str, Any]) -> bool:
    try:
        return key.get("kty") == "RSA" and bool(key.get("kid")) and public_key(key).key_size >= 2048
    except (KeyError, ValueError):
        return False
