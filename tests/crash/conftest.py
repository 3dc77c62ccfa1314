"""What the crash tests share: a state database in memory, as its syncs aren't what they are about, and a way to S3."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.faulty_world import FaultyWorld, a_faulty_world
from tests.crash.log_under_test import StateFile

_IN_MEMORY = Path("/dev/shm")


@pytest.fixture
def state() -> Iterator[StateFile]:
    with tempfile.TemporaryDirectory(dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None) as folder:
        state = StateFile(Path(folder) / "state.db")
        yield state
        state.close()


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyWorld]:
    """One for all tests of faults on the way to S3: setting it up takes longer than most of them."""
    with a_faulty_world(tmp_path_factory.mktemp("faulty")) as faulty:
        yield faulty
