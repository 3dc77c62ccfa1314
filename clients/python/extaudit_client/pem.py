"""What PEM files say, read without a library: from when to when a certificate is valid, and whether a key is its own.

The one thing read of a certificate is its validity, which has its place in the DER of every X.509 certificate.
"""

from __future__ import annotations

import binascii
import re
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_BLOCK: Final = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----(.+?)-----END ", re.DOTALL)
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0


def validities(pem: bytes) -> list[tuple[datetime, datetime]]:
    """From when and to when each certificate of a PEM file is valid, in its order.

    Raises:
        ValueError: there is none, or one isn't an X.509 certificate.
    """
    found = [_validity(binascii.a2b_base64(block)) for block in _BLOCK.findall(pem)]
    if not found:
        raise ValueError("there is no certificate")
    return found


def is_pair(cert: Path, key: Path) -> bool:
    """Whether the key is the first certificate's.

    Raises:
        ValueError: the key can't be read, or needs a password.
        OSError: a file can't be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason and error.reason.endswith("_MISMATCH"):
            return False
        raise ValueError("the key can't be read") from error
    return True


def _no_password() -> str:
    raise ValueError("the key needs a password")


def _validity(der: bytes) -> tuple[datetime, datetime]:
    try:
        at, _ = _enter(der, 0, _SEQUENCE)
        at, _ = _enter(der, at, _SEQUENCE)  # what is signed
        if der[at] == _VERSION:
            at = _pass(der, at)
        for _field in ("serial number", "signature algorithm", "issuer"):
            at = _pass(der, at)
        at, _ = _enter(der, at, _SEQUENCE)
        return _time(der, at), _time(der, _pass(der, at))
    except IndexError:
        raise ValueError("it is no certificate") from None


def _header(der: bytes, at: int) -> tuple[int, int, int]:
    """Tag, start and end of the value at `at`."""
    tag, size, start = der[at], der[at + 1], at + 2
    if size >= 0x80:
        count = size & 0x7F
        size, start = int.from_bytes(der[start : start + count]), start + count
    if start + size > len(der):
        raise ValueError("it is cut off")
    return tag, start, start + size


def _enter(der: bytes, at: int, tag: int) -> tuple[int, int]:
    found, start, end = _header(der, at)
    if found != tag:
        raise ValueError("it is no certificate")
    return start, end


def _pass(der: bytes, at: int) -> int:
    return _header(der, at)[2]


def _time(der: bytes, at: int) -> datetime:
    tag, start, end = _header(der, at)
    text = der[start:end].decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("it has no validity")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
