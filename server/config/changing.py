"""What a configuration that was read again changes in the one in force, and what of it waits for a restart."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from server.config.issuer_rules import issuer_problems_of
from server.config.loading import ConfigProblems
from server.config.rules import problems_of
from server.config.sections import Config
from server.config.settings import settings, tables


@dataclass(frozen=True, slots=True)
class Change:
    """A configuration that can come into force now, and how it differs."""

    config: Config
    """The one in force, with the new values of what can change while the service runs."""
    changed: tuple[str, ...]
    """Names of the settings that have another value in it."""
    waiting: tuple[str, ...]
    """Names of the settings whose new value needs a restart."""


def change_to(in_force: Config, read: Config) -> Change:
    """What of `read`, which is right by itself, can replace what is in force.

    Raises:
        ConfigProblems: what can change now doesn't go together with what has to wait for a restart.
    """
    differing = [each for each in settings() if each.value_in(in_force) != each.value_in(read)]
    now = [each for each in differing if each.reload]
    by_section: dict[str, dict[str, Any]] = {}
    for each in now:
        by_section.setdefault(each.section, {})[each.field] = each.value_in(read)
    top = by_section.pop("", {})
    sections = {name: dataclasses.replace(getattr(in_force, name), **by_section[name]) for name in by_section}
    config = dataclasses.replace(in_force, **top, **sections)
    changed = tuple(each.name for each in now)
    waiting = [each.name for each in differing if not each.reload]
    waiting += [each.name for each in tables() if each.value_in(in_force) != each.value_in(read)]
    if waiting and changed:
        _check(config)
    return Change(config, changed, tuple(waiting))


def _check(config: Config) -> None:
    """Hold new values to the rules that they share with what has to wait; that stays as it is, right or wrong."""
    new = {each.name for each in settings() if each.reload}
    wrong = [each for each in (*problems_of(config), *issuer_problems_of(config)) if each.setting in new]
    if wrong:
        why = "as long as other settings wait for a restart"
        raise ConfigProblems([f"{each.setting}: {each.text}, {why}" for each in wrong])
