"""Rules over the settings of the service's own issuer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.config.test_rules import CERTIFICATE, KEY, problems

OFF_LOOPBACK = (
    "http.public_listen (--http-public-listen): needs http.public_certificate and http.public_key off loopback"
)
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "off loopback without a certificate": ({"http_public_listen": "0.0.0.0:443"}, OFF_LOOPBACK),
    "an address that is none": (
        {"http_public_listen": "443"},
        "http.public_listen (--http-public-listen): must be HOST:PORT or [IPv6]:PORT",
    ),
    "the operations' address": (
        {"http_public_listen": "127.0.0.1:9180"},
        "http.public_listen (--http-public-listen): must be another address than those of the other listeners",
    ),
    "no issuer": (
        {"http_public_listen": "127.0.0.1:0", "issuer_url": None},
        "http.public_listen (--http-public-listen): needs issuer_url as well",
    ),
    "a rotation that no next key is ready for": (
        {"issuer_rotation_days": 0.5},
        "issuer.rotation_days (--issuer-rotation-days): must be at least issuer.publish_ahead_seconds, "
        "or no next key would be ready in time",
    ),
    "a wrapping key that isn't there": (
        {"issuer_wrapping_key": "/nowhere"},
        "issuer.wrapping_key (--issuer-wrapping-key): the file isn't there or is not a regular file",
    ),
    "an issuer that isn't https": (
        {"issuer_url": "http://audit.test"},
        "issuer_url (--issuer-url): must be an https URL, or an http URL on loopback, without query and fragment",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_go_together_is_named(name: str) -> None:
    flags, problem = WRONG[name]
    given = {"issuer_url": "https://audit.test"} | flags
    assert problems({key: value for key, value in given.items() if value is not None}) == [problem]


@pytest.mark.parametrize(
    "flags",
    [
        {"issuer_url": "https://audit.test"},
        {"issuer_url": "https://audit.test:8443/tenant"},
        {"issuer_url": "http://127.0.0.1:8080", "http_public_listen": "127.0.0.1:8080"},
        {"issuer_url": "https://audit.test", "issuer_rotation_days": 1.0},
    ],
)
def test_what_goes_together_is_taken(flags: dict[str, Any]) -> None:
    assert problems(flags) == []


def test_a_public_certificate_needs_its_key_and_both_are_looked_at(tmp_path: Path) -> None:
    certificate, key = tmp_path / "a.crt", tmp_path / "a.key"
    certificate.write_text(CERTIFICATE)
    key.write_text("no key")
    flags = {"issuer_url": "https://audit.test", "http_public_certificate": str(certificate)}
    assert problems(flags) == ["http.public_certificate (--http-public-certificate): needs http.public_key as well"]
    flags |= {"http_public_key": str(key), "http_public_listen": "0.0.0.0:443"}
    assert problems(flags) == ["http.public_key (--http-public-key): the file holds no unencrypted private key in PEM"]
    key.write_text(KEY)
    assert problems(flags) == []
