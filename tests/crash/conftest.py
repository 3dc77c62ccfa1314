"""A state database for the crash tests, in memory where there is such a place: its syncs aren't what they are about."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.log_under_test import StateFile

_IN_MEMORY = Path("/dev/shm")


@pytest.fixture
def state() -> Iterator[StateFile]:
    with tempfile.TemporaryDirectory(dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None) as folder:
        state = StateFile(Path(folder) / "state.db")
        yield state
        state.close()
