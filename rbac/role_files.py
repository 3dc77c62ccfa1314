"""Files of roles: which there are, what they hold together, and the presets that come with the service."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from rbac.errors import PolicyError, PolicyUnreadable, Refusal
from rbac.identities import SYSTEM_ROLES
from rbac.roles import Role, role_from
from rbac.safe_yaml import read_documents

MAX_FILE_BYTES: Final = 1024 * 1024
MAX_FILES: Final = 1_000
MAX_RULES: Final = 20_000
"""Rules of all roles together: Casbin walks them all for each new question."""

PRESETS: Final = Path(__file__).parent / "presets"

_RESERVED: Final = frozenset(name.casefold() for name in SYSTEM_ROLES)


def role_files_in(folder: Path) -> tuple[Path, ...]:
    """List the folder's `*.yaml` and `*.yml` by name; hidden ones are left out (editors keep their drafts there).

    Raises:
        PolicyError: it can't be read (PolicyUnreadable), or has more than MAX_FILES such files.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith((".yaml", ".yml")) and name[0] != ".")
    except OSError:
        raise PolicyUnreadable(folder.name, 0, "the folder of roles can't be read") from None
    if len(names) > MAX_FILES:
        raise PolicyError(folder.name, 0, f"the folder has more than {MAX_FILES} files of roles")
    return tuple(folder / name for name in names)


def read_presets() -> tuple[Role, ...]:
    """Read the roles that come with the service, one of them for each kind of component."""
    return tuple(replace(role, preset=True) for path in role_files_in(PRESETS) for role in _read(path))


def read_roles(files: Sequence[Path], presets: Sequence[Role]) -> tuple[Role, ...]:
    """Read all files as one set; the presets are its first roles.

    Raises:
        PolicyError: a file is refused, a name is given twice or reserved, or there are more than MAX_RULES rules.
    """
    roles = list(presets)
    places = {role.name: "a preset" for role in presets}
    rules = _count_rules(presets)
    for path in files:
        for role in _read(path):
            if role.name.casefold() in _RESERVED:
                raise PolicyError(path.name, role.line, f"{role.name!r} is a system role's name")
            if role.name in places:
                raise PolicyError(path.name, role.line, f"{role.name!r} is already the name of {places[role.name]}")
            places[role.name] = f"the role at {path.name}:{role.line}"
            rules += _count_rules([role])
            if rules > MAX_RULES:
                raise PolicyError(path.name, role.line, f"there are more than {MAX_RULES} rules in all")
            roles.append(role)
    return tuple(roles)


def _count_rules(roles: Iterable[Role]) -> int:
    return sum(len(role.allow) + len(role.deny) for role in roles)


def _read(path: Path) -> list[Role]:
    data = _bytes_of(path)
    try:
        return [role_from(document) for document in read_documents(data)]
    except Refusal as refusal:
        raise PolicyError(path.name, refusal.line, refusal.reason) from None


def _bytes_of(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise PolicyError(path.name, 0, "is not a regular file")
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError:
        raise PolicyUnreadable(path.name, 0, "can't be read") from None
    if len(data) > MAX_FILE_BYTES:
        raise PolicyError(path.name, 0, f"is larger than {MAX_FILE_BYTES} bytes")
    return data


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file; a named pipe would otherwise hold the caller for good before it could be refused."""
    return os.open(path, flags | os.O_NONBLOCK)
