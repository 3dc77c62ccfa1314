"""Who can write what says who may do what."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rbac.writers import WHOEVER, refusal_of

SERVICE, OTHER = 990, 1000


def found(owner: int, mode: int, kind: int = stat.S_IFREG) -> os.stat_result:
    return os.stat_result((kind | mode, 1, 1, 1, owner, owner, 1, 0, 0, 0))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that everybody comes to."""
    tmp_path.chmod(0o755)
    (tmp_path / "x").touch()
    return tmp_path / "x"


@pytest.mark.parametrize("owner", [0, SERVICE])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o755, 0o400])
def test_files_of_root_and_of_the_service_that_nobody_else_can_write_are_fine(
    file: Path, owner: int, mode: int
) -> None:
    assert refusal_of(file, found(owner, mode), SERVICE) == ""


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o664, 0o777])
def test_what_group_or_others_can_write_is_refused_whoever_owns_it(file: Path, mode: int) -> None:
    for owner in 0, SERVICE:
        told = refusal_of(file, found(owner, mode), SERVICE)
        assert told.startswith(f"has mode {mode:04o}, so that others than its owner")


def test_what_another_account_owns_is_refused_though_it_can_only_be_read(file: Path) -> None:
    file.parent.chmod(0o700)
    told = refusal_of(file, found(OTHER, 0o400), SERVICE)
    assert told.startswith("belongs to user 1000, who could give any right by it")


def test_while_the_account_is_not_known_the_mode_alone_counts(file: Path) -> None:
    assert refusal_of(file, found(OTHER, 0o644), WHOEVER) == ""
    assert refusal_of(file, found(OTHER, 0o664), WHOEVER).startswith("has mode 0664")


def test_in_a_folder_that_nobody_else_can_enter_the_mode_of_a_file_does_not_matter(file: Path) -> None:
    account = os.geteuid()
    file.parent.chmod(0o700)
    assert refusal_of(file, found(account, 0o666), account) == ""
    assert refusal_of(file.parent, found(account, 0o777, stat.S_IFDIR), account) != "", "its files go by its own mode"


@pytest.mark.parametrize("mode", [0o710, 0o701, 0o704, 0o770])
def test_in_any_other_folder_it_does(file: Path, mode: int) -> None:
    account = os.geteuid()
    file.parent.chmod(mode)
    assert refusal_of(file, found(account, 0o664), account).startswith("has mode 0664")


def test_the_folder_is_the_one_in_which_the_file_lies_not_the_link_to_it(tmp_path: Path) -> None:
    account = os.geteuid()
    (tmp_path / "shared").mkdir(mode=0o755)
    (tmp_path / "shared" / "x").touch()
    (tmp_path / "own").mkdir(mode=0o700)
    (link := tmp_path / "own" / "x").symlink_to("../shared/x")
    assert refusal_of(link, found(account, 0o664), account).startswith("has mode 0664")


def test_a_folder_of_somebody_else_shuts_nobody_out(file: Path) -> None:
    file.parent.chmod(0o700)
    account = os.geteuid()
    if account == 0:
        os.chown(file.parent, OTHER, -1)
    else:
        account = OTHER
    assert refusal_of(file, found(account, 0o664), account).startswith("has mode 0664")
