"""What a configuration that was read again changes, and what of it waits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.config import Config, ConfigProblems, GrpcSection, JournalSection, TokenIssuer
from server.config.changing import change_to
from server.config.settings import Setting, settings

MIB = 1024 * 1024


def another(setting: Setting) -> Any:
    """A value that isn't the default; no rule looks at it unless it can change."""
    if setting.choices:
        return next(choice for choice in setting.choices if choice != setting.default)
    if setting.hint in (int, int | None):
        return (setting.default or int(setting.low or 0) * 1024) + 1
    return {float: 0.5, tuple[Path, ...]: (Path("x"),), Path: Path("x"), Path | None: Path("x")}.get(setting.hint, "x")


def with_value(setting: Setting, value: Any) -> Config:
    config = Config()
    if not setting.section:
        return replace(config, **{setting.field: value})
    return replace(config, **{setting.section: replace(getattr(config, setting.section), **{setting.field: value})})


@pytest.mark.parametrize("setting", settings(), ids=lambda each: each.name)
def test_every_setting_changes_at_once_or_waits(setting: Setting) -> None:
    read = with_value(setting, another(setting))
    change = change_to(Config(), read)
    if setting.reload:
        assert (change.changed, change.waiting, change.config) == ((setting.name,), (), read)
    else:
        assert (change.changed, change.waiting, change.config) == ((), (setting.name,), Config())


def test_token_issuers_wait() -> None:
    read = replace(Config(), grpc=replace(GrpcSection(), token_issuers=(TokenIssuer("https://i.test", "a"),)))
    assert change_to(Config(), read).waiting == ("grpc.token_issuers",)


def test_what_can_change_must_go_together_with_what_waits() -> None:
    small = GrpcSection(max_event_bytes=MIB // 16, max_message_bytes=MIB // 8)
    read = Config(grpc=small, journal=JournalSection(max_pending_bytes=MIB // 8))
    with pytest.raises(ConfigProblems) as caught:
        change_to(Config(), read)
    assert caught.value.problems == [
        "journal.max_pending_bytes: must be at least the largest message, as long as other settings wait for a restart"
    ]


def test_a_file_in_force_that_is_gone_keeps_nothing_from_changing(tmp_path: Path) -> None:
    in_force = Config(grpc=GrpcSection(user_ca=(tmp_path / "gone.pem",)))
    read = Config(journal=JournalSection(cut_events=7))
    assert change_to(in_force, read).changed == ("journal.cut_events",)
