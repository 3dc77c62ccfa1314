"""Who can write what says who may do what."""

from __future__ import annotations

import os
import stat

import pytest

from rbac.writers import refusal_of

SERVICE, OTHER = 990, 1000


def found(owner: int, mode: int) -> os.stat_result:
    return os.stat_result((stat.S_IFREG | mode, 1, 1, 1, owner, owner, 1, 0, 0, 0))


@pytest.mark.parametrize("owner", [0, SERVICE])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o755, 0o400])
def test_files_of_root_and_of_the_service_that_nobody_else_can_write_are_fine(owner: int, mode: int) -> None:
    assert refusal_of(found(owner, mode), SERVICE) == ""


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o664, 0o777])
def test_what_group_or_others_can_write_is_refused_whoever_owns_it(mode: int) -> None:
    for owner in 0, SERVICE:
        assert refusal_of(found(owner, mode), SERVICE).startswith(f"has mode {mode:04o}, so that others than its owner")


def test_what_another_account_owns_is_refused_though_it_can_only_be_read() -> None:
    assert refusal_of(found(OTHER, 0o400), SERVICE).startswith("belongs to user 1000, who could give any right by it")
