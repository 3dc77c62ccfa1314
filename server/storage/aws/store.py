"""What the store behind an endpoint can do: S3 itself, or one that is compatible with it in part."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

UNKNOWN_REQUEST = frozenset({405, 501})
"""HTTP statuses of what a store doesn't know at all."""


class Refusal:
    """Whether a store was seen to refuse an object where there is one. Any thread may look, and note what it saw."""

    def __init__(self, *, is_seen: bool) -> None:
        self.is_seen = is_seen
        self.is_passed_over = False
        """Whether it made the object all the same: nothing is to be put there, as it would write over what is there."""


@dataclass(frozen=True, slots=True)
class Store:
    """What the store behind an endpoint can do; AWS can all of it. The section `aws` of the configuration says it."""

    conditional_writes: bool = True
    """It is said to refuse `If-None-Match: *` where something has the name."""
    checksums: bool = True
    """It compares, keeps and gives back SHA-256; else MD5 is sent, and what it took is read again."""
    needs_versions: bool = True
    """Recordings go into versioned buckets alone."""
    refusal: Refusal = field(default_factory=partial(Refusal, is_seen=True), compare=False)
    """Whether it does what `conditional_writes` says: of S3 itself that is known."""

    @property
    def refuses(self) -> bool:
        """Whether it is known to refuse: else what has a name is looked for before an object is made."""
        return self.conditional_writes and self.refusal.is_seen

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
