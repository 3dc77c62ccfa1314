"""What the store behind an endpoint can do: S3 itself, or one that is compatible with it in part."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

UNKNOWN_REQUEST = frozenset({405, 501})
"""HTTP statuses of what a store doesn't know at all."""


@dataclass(frozen=True, slots=True)
class Store:
    """What the store behind an endpoint can do; AWS can all of it. The section `aws` of the configuration says it."""

    conditional_writes: bool = True
    """It refuses `If-None-Match: *` where something has the name."""
    checksums: bool = True
    """It compares, keeps and gives back SHA-256; else MD5 is sent, and what it took is read again."""
    needs_versions: bool = True
    """Recordings go into versioned buckets alone."""

    def checksum(self, sha256: str, pieces: Iterable[bytes]) -> dict[str, str]:
        """What a request says that brings a body, by its SHA-256 in lower-case hex, or else by what it consists of."""
        if self.checksums:
            return {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": base64_of(sha256)}
        digest = hashlib.md5(usedforsecurity=False)
        for piece in pieces:
            digest.update(piece)
        return {"ContentMD5": base64_of(digest.hexdigest())}


AWS = Store()


def base64_of(digest: str) -> str:
    """A digest in lower-case hex, as S3 writes it."""
    return base64.b64encode(bytes.fromhex(digest)).decode()
