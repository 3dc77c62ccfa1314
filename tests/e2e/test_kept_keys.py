"""The keys of page tokens and known uids: made once, kept, and never used where they are damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.data_directory import KEPT_SECRETS, SECRET_BYTES, DataDirectory, DataDirectoryProblem
from tests.running_app import running_app

NAMES = ["known-uids.key", "page-token.key"]


def test_keys_outlive_a_restart(tmp_path: Path) -> None:
    identity = DataDirectory(tmp_path).identity
    with running_app(tmp_path):
        keys = [(identity / name).read_bytes() for name in KEPT_SECRETS]
        made = {path.name for path in identity.glob("*.key") if path.stat().st_size == SECRET_BYTES}
    with running_app(tmp_path):
        assert [(identity / name).read_bytes() for name in KEPT_SECRETS] == keys
    assert len({*keys}) == len(KEPT_SECRETS)
    assert made == {*KEPT_SECRETS}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damaged", [b"", bytes(31), bytes(33), bytes(65)], ids=len)
def test_a_damaged_key_refuses_the_start(tmp_path: Path, name: str, damaged: bytes) -> None:
    """With an empty one anybody could forge a token, or a retry of another's event."""
    identity = DataDirectory(tmp_path).identity
    identity.mkdir(mode=0o700)
    (identity / name).write_bytes(damaged)
    (identity / name).chmod(0o600)
    with pytest.raises(DataDirectoryProblem, match=name), running_app(tmp_path):
        pass
    assert (identity / name).read_bytes() == damaged
