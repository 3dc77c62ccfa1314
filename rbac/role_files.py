"""Files of roles: which there are, what they hold together, and the presets that come with the service."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from rbac.errors import PolicyError, PolicyUnreadable, Refusal
from rbac.identities import SYSTEM_ROLES
from rbac.roles import Role, read_role
from rbac.safe_yaml import documents_in
from rbac.writers import refusal_of

MAX_FILE_BYTES: Final = 1024 * 1024
MAX_FILES: Final = 1_000
MAX_RULES: Final = 20_000
"""Rules of all roles together: for each new question Casbin walks those of the asked roles and kind."""

MAX_PROBLEMS: Final = 1_000

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
    problems: list[PolicyError] = []
    roles = tuple(replace(role, preset=True) for path in role_files_in(PRESETS) for role in _read(path, problems))
    if problems:
        raise problems[0]
    return roles


def check_folder(folder: Path, account: int) -> None:
    """Refuse a folder that others than this account and root can put files of roles into, or take them out of.

    Raises:
        PolicyError: it is such a folder, or can't be looked at (PolicyUnreadable).
    """
    try:
        refusal = refusal_of(folder, os.stat(folder), account)
    except OSError:
        raise PolicyUnreadable(folder.name, 0, "the folder of roles can't be read") from None
    if refusal:
        raise PolicyError(folder.name, 0, f"the folder of roles {refusal}")


def read_roles(files: Sequence[Path], presets: Sequence[Role], account: int | None = None) -> tuple[Role, ...]:
    """Read all files as one set; the presets are its first roles.

    Raises:
        PolicyError: a file is refused, a name is given twice or reserved, or there are more than MAX_RULES rules.
    """
    roles, problems = examine_roles(files, presets, account)
    if problems:
        raise problems[0]
    return roles


def examine_roles(
    files: Sequence[Path], presets: Sequence[Role], account: int | None = None
) -> tuple[tuple[Role, ...], list[PolicyError]]:
    """Read all files as one set, and find everything wrong with it: file by file, as it is come upon.

    A file that others than `account` and root can write is refused; None is for files that aren't in place yet.
    It stops at MAX_RULES rules and at MAX_PROBLEMS problems. A file that isn't YAML is examined up to where it isn't.
    """
    examined = _RoleSet(presets, account)
    for path in files:
        if not examined.add(path):
            break
    return tuple(examined.roles), examined.problems[:MAX_PROBLEMS]


class _RoleSet:
    """Roles whose names must differ, and what is wrong with them."""

    def __init__(self, presets: Sequence[Role], account: int | None) -> None:
        self.roles = list(presets)
        self._account = account
        self.problems: list[PolicyError] = []
        self._places = {role.name: "a preset" for role in presets}
        self._rules = _count_rules(presets)

    def add(self, path: Path) -> bool:
        """Add a file's roles; False where no other file is to be read."""
        for role in _read(path, self.problems, self._account):
            if reason := self._reason_against(role):
                self.problems.append(PolicyError(path.name, role.line, reason))
                continue
            self._places[role.name] = f"the role at {path.name}:{role.line}"
            self._rules += _count_rules([role])
            if self._rules > MAX_RULES:
                self.problems.append(PolicyError(path.name, role.line, f"there are more than {MAX_RULES} rules in all"))
                break
            self.roles.append(role)
        return self._rules <= MAX_RULES and len(self.problems) < MAX_PROBLEMS

    def _reason_against(self, role: Role) -> str:
        if role.name.casefold() in _RESERVED:
            return f"{role.name!r} is a system role's name"
        if role.name in self._places:
            return f"{role.name!r} is already the name of {self._places[role.name]}"
        return ""


def _count_rules(roles: Iterable[Role]) -> int:
    return sum(len(role.allow) + len(role.deny) for role in roles)


def _read(path: Path, problems: list[PolicyError], account: int | None = None) -> Iterator[Role]:
    """The roles of a file that nothing is wrong with; what is wrong with others, or with the file, is added."""
    try:
        for document in documents_in(_bytes_of(path, account)):
            refusals: list[Refusal] = []
            role = read_role(document, refusals)
            problems += [_problem(path, refusal) for refusal in refusals]
            if role is not None:
                yield role
    except Refusal as refusal:
        problems.append(_problem(path, refusal))
    except PolicyError as problem:
        problems.append(problem)


def _problem(path: Path, refusal: Refusal) -> PolicyError:
    return PolicyError(path.name, refusal.line, refusal.reason, refusal.column)


def _bytes_of(path: Path, account: int | None) -> bytes:
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise PolicyError(path.name, 0, "is not a regular file")
            if account is not None and (refusal := refusal_of(path, found, account)):
                raise PolicyError(path.name, 0, refusal)
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError:
        raise PolicyUnreadable(path.name, 0, "can't be read") from None
    if len(data) > MAX_FILE_BYTES:
        raise PolicyError(path.name, 0, f"is larger than {MAX_FILE_BYTES} bytes")
    return data


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file; a named pipe would otherwise hold the caller for good before it could be refused."""
    return os.open(path, flags | os.O_NONBLOCK)
