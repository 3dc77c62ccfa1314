"""The wrapping key: what it encrypts nobody else opens, and a start without the right one says so and makes none."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from server.data_directory import DataDirectoryProblem
from server.files import DiskFiles
from server.integrations.key_wrapping import WrappingKey, WrongWrappingKey, read_wrapping_key
from server.integrations.signing_keys import check_wrapping_key
from tests.unit.integrations.keys_under_test import KeysUnderTest

HALF = b"private half"


def test_what_is_wrapped_is_opened_by_the_same_key_for_the_same_id_alone() -> None:
    key = WrappingKey(b"k" * 32)
    wrapped = key.wrap("id", HALF)
    assert key.unwrap("id", wrapped) == HALF
    for other, key_id, text in (
        (WrappingKey(b"l" * 32), "id", wrapped),
        (key, "other", wrapped),
        (key, "id", wrapped[:-4]),
        (key, "id", "A" + wrapped[1:] if wrapped[0] != "A" else "B" + wrapped[1:]),
        (key, "id", ""),
        (key, "id", "not base64!"),
    ):
        with pytest.raises(WrongWrappingKey) as refused:
            other.unwrap(key_id, text)
        assert "private" not in str(refused.value)


def test_the_same_half_is_never_wrapped_alike() -> None:
    key = WrappingKey(b"k" * 32)
    assert key.wrap("id", HALF) != key.wrap("id", HALF)


def test_the_key_is_made_once_where_none_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "signing-keys.key"
    made = read_wrapping_key(DiskFiles(), path, may_make=True)
    again = read_wrapping_key(DiskFiles(), path, may_make=True)
    assert again.unwrap("id", made.wrap("id", HALF)) == HALF
    assert (path.stat().st_mode & 0o777, path.stat().st_size) == (0o600, 32)


def test_a_key_that_is_needed_is_never_made(tmp_path: Path) -> None:
    path = tmp_path / "signing-keys.key"
    with pytest.raises(DataDirectoryProblem, match="is not there; put back"):
        read_wrapping_key(DiskFiles(), path, may_make=False)
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"short", b"k" * 31, b"k" * 33])
def test_a_damaged_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "signing-keys.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(DataDirectoryProblem, match="is damaged; put back"):
        read_wrapping_key(DiskFiles(), path, may_make=True)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("mode", "is_fine"), [(0o600, True), (0o440, True), (0o640, True), (0o604, False), (0o660, False)]
)
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int, is_fine: bool) -> None:
    path = tmp_path / "signing-keys.key"
    path.write_bytes(b"k" * 32)
    path.chmod(mode)
    if is_fine:
        read_wrapping_key(DiskFiles(), path, may_make=False)
    else:
        with pytest.raises(DataDirectoryProblem, match="others may read or change it"):
            read_wrapping_key(DiskFiles(), path, may_make=False)


def test_another_states_key_is_told_before_a_start(tmp_path: Path) -> None:
    rig = KeysUnderTest(tmp_path / "state.db")
    path = tmp_path / "wrapping.key"
    path.write_bytes(secrets.token_bytes(32))
    path.chmod(0o600)
    check_wrapping_key(DiskFiles(), path, [])
    rig.keys.look_after()
    with pytest.raises(DataDirectoryProblem, match="doesn't open the signing keys of this state"):
        check_wrapping_key(DiskFiles(), path, rig.rows())
    path.write_bytes(rig.wrapping)
    check_wrapping_key(DiskFiles(), path, rig.rows())
    rig.close()
