"""Proof that a batch record is the service's own: a MAC over all that it says, by a key of the data directory.

Others can write to a bucket, and know every number that a record of ours would have.
"""

from __future__ import annotations

import hmac
from dataclasses import replace

from server.audit_log.batch_record import BatchRecord


class RecordProofs:
    """Makes and checks proofs. Safe to use from several threads."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def proven(self, record: BatchRecord) -> BatchRecord:
        """The same record with its proof."""
        return replace(record, proof=self._proof(record))

    def is_own(self, record: BatchRecord) -> bool:
        """Whether a record has the proof that this service gives it."""
        return record.proof.isascii() and hmac.compare_digest(record.proof, self._proof(record))

    def _proof(self, record: BatchRecord) -> str:
        return hmac.digest(self._secret, replace(record, proof="").encode(), "sha256").hex()
