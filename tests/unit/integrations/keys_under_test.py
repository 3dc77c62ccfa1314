"""Signing keys on a state database of their own, with a clock that tests set."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from server.integrations.key_life import Schedule
from server.integrations.key_wrapping import KEY_BYTES, WrappingKey
from server.integrations.signing_keys import SigningKeys
from server.integrations.web_identity import WebIdentityTokens
from server.state.database import open_database
from server.state.signing_keys import SigningKey, SqlSigningKeys

DAY_MS = 86_400_000
ISSUER = "https://audit.example.com"


@dataclass
class Meter:
    """Counts what it is told."""

    tokens: int = 0
    failures: int = 0

    def signed(self) -> None:
        self.tokens += 1

    def rotation_failed(self) -> None:
        self.failures += 1


@dataclass
class KeysUnderTest:
    """One process's keys; `another()` is a second process on the same state."""

    path: Path
    wrapping: bytes = field(default_factory=lambda: secrets.token_bytes(KEY_BYTES))
    now_ms: int = 1_800_000_000_000
    schedule: Schedule = field(default_factory=lambda: Schedule(90 * DAY_MS, DAY_MS))

    def __post_init__(self) -> None:
        self.engine = open_database(self.path)
        self.store = SqlSigningKeys(self.engine)
        self.meter = Meter()
        self.keys = SigningKeys(self.store, WrappingKey(self.wrapping), self.schedule, self.meter, lambda: self.now_ms)
        self.tokens = WebIdentityTokens(ISSUER, self.keys, lambda: self.now_ms)

    def another(self) -> KeysUnderTest:
        return KeysUnderTest(self.path, self.wrapping, self.now_ms, self.schedule)

    def by_state(self) -> dict[str, list[str]]:
        """Ids of all keys in the state database, by state."""
        found: dict[str, list[str]] = {}
        for key in self.rows():
            found.setdefault(key.state.value, []).append(key.key_id)
        return found

    def rows(self) -> list[SigningKey]:
        read = self.store.read(-1)
        assert read
        return read[1]

    def close(self) -> None:
        self.engine.dispose()
