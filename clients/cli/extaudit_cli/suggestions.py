"""Words that completion offers for values: read from small files on this machine, at once and in silence."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from extaudit_cli.profile_file import ProfileProblem, profiles_path, read_profiles

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

_ROLE = re.compile(r'^metadata:\s*\n(?:[ \t]+(?!name:)[^\n]*\n)*[ \t]+name:[ \t]*["\']?([^\s"\'#]+)', re.MULTILINE)
_EVENT_TYPE = re.compile(r'"event": ?"([A-Za-z0-9._-]+)"')
_MAX_FILES: Final = 200
_MAX_BYTES: Final = 64 * 1024


def profile_names(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of profiles; none from a file that can't be used."""
    try:
        profiles = read_profiles(profiles_path(os.environ))
    except ProfileProblem:
        return []
    named = {name: values.get("address", "") for name, values in profiles.named.items()}
    return _items((*named, "none"), incomplete, named)


def known_roles(data_dir: str | Path) -> list[str]:
    """Names of the presets and of roles in the data directory's files, without reading YAML in full."""
    return list(dict.fromkeys(name for text in _texts(data_dir) for name in _ROLE.findall(text)))


def role_names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of roles, of the data directory that the command line names."""
    data_dir = context.params.get("data_dir") or os.environ.get("EXTAUDIT_DATA_DIR") or "data"
    return _items(known_roles(data_dir), incomplete)


def event_types(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Types of the sample events, which are the commonest of Teleport's."""
    sample = files("extaudit_cli").joinpath("sample-events.jsonl").read_text()
    return _items(sorted(set(_EVENT_TYPE.findall(sample))), incomplete)


def storages(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Words that stand for storages; ids aren't known here."""
    return _items(("active", "default", "all"), incomplete)


def exported_storages(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The same, of an export."""
    return _items(("followed", "active", "default", "all"), incomplete)


def kinds(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Kinds of resources that roles have rules for."""
    from rbac.kinds import KINDS

    return _items(sorted(KINDS), incomplete)


def verbs(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Verbs that roles have rules for."""
    return _items(("list", "read", "create", "update", "delete"), incomplete)


def _items(words: Iterable[str], incomplete: str, told: dict[str, str] | None = None) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    known = told or {}
    return [CompletionItem(word, help=known.get(word)) for word in words if word.startswith(incomplete)]


def _texts(data_dir: str | Path) -> Iterator[str]:
    presets = [entry for entry in files("rbac").joinpath("presets").iterdir() if entry.name.endswith(".yaml")]
    yield from (entry.read_text() for entry in sorted(presets, key=lambda entry: entry.name))
    folder = Path(data_dir, "roles")
    try:
        entries = sorted(entry for entry in folder.iterdir() if entry.suffix in (".yaml", ".yml") and entry.is_file())
        for entry in entries[:_MAX_FILES]:
            with entry.open("rb") as file:
                yield file.read(_MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return  # a tab is no place for errors
