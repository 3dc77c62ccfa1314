"""Tests share signing keys: each gets the same ones anew, in order, since making one takes a tenth of a second."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import RSAKey

Make = Callable[..., RSAKey]


@pytest.fixture(scope="session")
def made_keys() -> list[tuple[dict[str, Any], RSAKey]]:
    """Keys that were made for tests so far, each with what was asked for."""
    return []


@pytest.fixture(autouse=True)
def _shared_keys(made_keys: list[tuple[dict[str, Any], RSAKey]], monkeypatch: pytest.MonkeyPatch) -> None:
    make: Make = RSAKey.generate_key
    lock, given = threading.Lock(), 0

    def generate(bits: int, **asked: Any) -> RSAKey:
        nonlocal given
        with lock:
            wanted = {"bits": bits, **asked}
            while given < len(made_keys) and made_keys[given][0] != wanted:
                given += 1
            if given == len(made_keys):
                made_keys.append((wanted, make(bits, **asked)))
            given += 1
            return made_keys[given - 1][1]

    monkeypatch.setattr(RSAKey, "generate_key", generate)
