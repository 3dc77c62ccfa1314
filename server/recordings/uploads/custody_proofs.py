"""Proof that a custody record is the service's own: a MAC over all that it says, by the key of upload ids.

Others can write to a bucket, and read there what a record of ours has.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import Final

from server.recordings.uploads.custody import Custody

_PURPOSE: Final = b"custody record\0"
"""What upload ids carry is a MAC by the same key, of JSON."""


class CustodyProofs:
    """Makes and checks proofs. Safe to use from several threads."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def proven(self, custody: Custody) -> Custody:
        """The same record with its proof."""
        return replace(custody, proof=self._proof(custody))

    def is_own(self, custody: Custody) -> bool:
        """Whether a record has the proof that this service gives it."""
        return custody.proof.isascii() and hmac.compare_digest(custody.proof, self._proof(custody))

    def _proof(self, custody: Custody) -> str:
        return hmac.digest(self._secret, _PURPOSE + replace(custody, proof="").encode(), "sha256").hex()
