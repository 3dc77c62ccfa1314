"""Cuts: durable decisions that sequences first..last of one log make one batch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import orjson


@dataclass(frozen=True, slots=True)
class Cut:
    """Sequences first..last of a log make one batch. A cut always covers one whole segment of the journal."""

    log_id: str
    first: int
    last: int
    storage: str
    diverted_from: str = ""
    """The storage that it was made for; '' where it is for that one still."""

    @property
    def name(self) -> str:
        """Stem of the batch's objects."""
        return f"{self.log_id}-{self.first}-{self.last}"

    @property
    def spool_name(self) -> str:
        """Name of the spool folder: a diverted batch has one of its own, as an attempt to deliver it to where it was
        before may not have ended."""
        return f"{self.name}-from-{self.diverted_from}" if self.diverted_from else self.name

    @property
    def record_name(self) -> str:
        """Name of the batch record below `_batches`."""
        return f"{self.log_id}/{self.first}-{self.last}.json"

    def numbered_record_name(self, number: int) -> str:
        """The name of its record where others had taken the names of lower numbers; 0 for `record_name`."""
        return f"{self.log_id}/{self.first}-{self.last}.r{number}.json" if number else self.record_name

    def diverted(self, storage: str) -> Cut:
        """The same sequences, for another storage."""
        return replace(self, storage=storage, diverted_from=self.storage)

    def encode(self) -> bytes:
        """As a journal frame holds it, which knows of no diversion: the state does."""
        return orjson.dumps({"log_id": self.log_id, "first": self.first, "last": self.last, "storage": self.storage})

    @staticmethod
    def decode(payload: bytes) -> Cut:
        """From a journal frame."""
        return Cut(**orjson.loads(payload))


@dataclass(frozen=True, slots=True)
class CutLimits:
    """When a cut closes: at whichever is reached first. One submission is never split, so it may overshoot by one."""

    events: int = 20_000
    bytes: int = 16 * 1024 * 1024
    dates: int = 100
    age_ms: int = 900_000
    """In the embedded storage, on whose disk the journal is anyway."""
    external_age_ms: int = 60_000
    """In other storages, at most."""

    def age_in(self, storage: str) -> int:
        """How old an event of a storage gets, in ms, before its cut."""
        return self.age_ms if storage == "default" else min(self.age_ms, self.external_age_ms)
