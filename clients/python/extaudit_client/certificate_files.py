"""The PEM files of a connection: read together, and looked at again for whether somebody has renewed them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from extaudit_client.errors import ConnectionFailed
from extaudit_client.pem import is_pair

_MAX_FILE_BYTES: Final = 1024 * 1024

_Stamp = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """CA, and the certificate and key of mutual TLS, None with a token."""

    ca: Path
    cert: Path | None
    key: Path | None

    def credentials(self) -> grpc.ChannelCredentials:
        """Read them.

        Raises:
            ConnectionFailed: a file can't be read, or isn't what it should be.
        """
        authority = _read(self.ca, "CA certificate", b"CERTIFICATE")
        if self.cert is None or self.key is None:
            return grpc.ssl_channel_credentials(authority)
        return grpc.ssl_channel_credentials(
            authority,
            private_key=_read(self.key, "private key", b"PRIVATE KEY"),
            certificate_chain=_read(self.cert, "certificate", b"CERTIFICATE"),
        )

    def stamp(self) -> _Stamp:
        """What changes with a file: when it was written, its size, which file it is. None for one that isn't there."""
        return tuple(_stamp(path) for path in (self.ca, self.cert, self.key) if path is not None)

    def belong_together(self) -> bool:
        """False while only one of certificate and key is replaced, or one isn't whole yet."""
        try:
            return self.cert is None or self.key is None or is_pair(self.cert, self.key)
        except (OSError, ValueError):
            return False


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path, what: str, label: bytes) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ConnectionFailed(f"there is no {what} at {path}", "FAILED_PRECONDITION") from None
    except OSError as error:
        raise ConnectionFailed(f"can't read the {what} {path}: {error.strerror}", "FAILED_PRECONDITION") from error
    if len(data) > _MAX_FILE_BYTES or b"-----BEGIN " not in data or label not in data:
        raise ConnectionFailed(f"{path} holds no {what} in PEM form", "FAILED_PRECONDITION")
    return data
