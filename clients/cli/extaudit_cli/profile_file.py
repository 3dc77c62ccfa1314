"""The file of profiles: named connections, in `$XDG_CONFIG_HOME/extaudit/profiles.toml` or `~/.config/extaudit/`.

It holds addresses and paths, never a secret: keys and tokens stay in files of their own.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

KEYS: Final = ("address", "ca", "cert", "key", "token_file", "data_dir", "output")
"""What a profile may hold, in the order in which it is shown."""
PATHS: Final = frozenset({"ca", "cert", "key", "token_file", "data_dir"})
OUTPUTS: Final = ("table", "json", "jsonl")
NONE: Final = "none"
"""No profile, wherever one could be named."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_MAX_BYTES = 1024 * 1024
_HEADER = (
    "# Written by `extaudit profile`, which keeps no comments. Paths only: keys and tokens have files of their own.\n"
)


class ProfileProblem(Exception):
    """The profiles can't be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Profiles:
    """All profiles by name, each a mapping of KEYS; `use` is the one taken when none is named, '' for none."""

    named: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    use: str = ""

    def get(self, name: str) -> Mapping[str, str]:
        """A profile by its name.

        Raises:
            ProfileProblem: there is none.
        """
        if name in self.named:
            return self.named[name]
        known = f"; there are {', '.join(sorted(self.named))}" if self.named else "; see: extaudit profile add --help"
        raise ProfileProblem(f"there is no profile {name!r}{known}")

    def with_profile(self, name: str, values: Mapping[str, str]) -> Profiles:
        """The same with a profile put in or replaced.

        Raises:
            ProfileProblem: the name can't be one, or the values can't be kept.
        """
        problems = [*_name_problems(name), *_value_problems(name, values)]
        if problems:
            raise ProfileProblem("; ".join(problems))
        return replace(self, named={**self.named, name: dict(values)})

    def without(self, name: str) -> Profiles:
        """The same without a profile, which must be there; it isn't used any more."""
        self.get(name)
        return Profiles(
            {each: values for each, values in self.named.items() if each != name}, "" if self.use == name else self.use
        )


def profiles_path(environment: Mapping[str, str]) -> Path:
    """Where the profiles are. A relative XDG_CONFIG_HOME doesn't count, as its specification asks."""
    given = environment.get("XDG_CONFIG_HOME", "")
    folder = given if os.path.isabs(given) else os.path.join(os.path.expanduser("~"), ".config")
    return Path(folder, "extaudit", "profiles.toml")


def read_profiles(path: Path) -> Profiles:
    """All profiles; none where there is no file. Relative paths in them start from the file's folder.

    Raises:
        ProfileProblem: the file can't be read, may be written by others, or holds anything that isn't known.
    """
    try:
        with path.open("rb") as file:
            _check_owner(path, os.fstat(file.fileno()))
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return Profiles()
    except OSError as error:
        raise ProfileProblem(f"can't read {path}: {error.strerror}") from None
    try:
        if len(data) > _MAX_BYTES:
            raise ValueError("it is longer than 1 MiB")
        document = tomllib.loads(data.decode())
    except ValueError as error:
        raise ProfileProblem(f"{path} can't be read as TOML: {error}") from None
    return _profiles(path, document)


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Let no other process that asks change the file within the block. Makes its folder, for its owner alone.

    Raises:
        ProfileProblem: the folder can't be made or opened.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ProfileProblem(f"can't use the folder {path.parent}: {error.strerror}") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def write_profiles(path: Path, profiles: Profiles) -> None:
    """Put the file in place as a whole, with mode 0600; a link is followed.

    Raises:
        ProfileProblem: it can't be written; the file of before is still there.
    """
    target = Path(os.path.realpath(path))
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".profiles.")  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(_document(profiles))
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise ProfileProblem(f"can't write {path}: {error.strerror}") from None


def _check_owner(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ProfileProblem(f"{path} is not a regular file")
    if found.st_uid not in (os.geteuid(), 0):
        raise ProfileProblem(f"{path} belongs to another user, who could send your calls elsewhere")
    if found.st_mode & 0o022:
        raise ProfileProblem(f"others may write {path}, and send your calls elsewhere: run chmod 600 on it")


def _profiles(path: Path, document: Mapping[str, object]) -> Profiles:
    tables, use = document.get("profiles", {}), document.get("use", "")
    problems = [f"unknown key {name!r}" for name in document if name not in ("profiles", "use")]
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise ProfileProblem(f"{path}: profiles are tables: [profiles.NAME]")
    for name, table in tables.items():
        problems += [*_name_problems(name), *_value_problems(name, table)]
    if not isinstance(use, str) or (use and use not in tables):
        problems.append("'use' names no profile of the file")
    if problems:
        raise ProfileProblem(f"{path}: " + "; ".join(problems))
    named = {
        name: {key: _settled(path, key, table[key]) for key in KEYS if key in table} for name, table in tables.items()
    }
    return Profiles(named, str(use))


def _settled(path: Path, key: str, value: str) -> str:
    return str(path.parent / os.path.expanduser(value)) if key in PATHS else value


def _name_problems(name: str) -> list[str]:
    if name == NONE:
        return [f"the name {NONE!r} means no profile"]
    return (
        []
        if _NAME.fullmatch(name)
        else [f"{name!r} is no name: 1 to 64 of A-Z a-z 0-9 _ -, beginning with a letter or digit"]
    )


def _value_problems(name: str, values: Mapping[str, object]) -> list[str]:
    """What is wrong with the values; the values themselves aren't told, somebody may have put a secret there."""
    where = f"in profile {name!r}"
    problems = [f"unknown key {key!r} {where} (known: {', '.join(KEYS)})" for key in values if key not in KEYS]
    for key in KEYS:
        value = values.get(key, "x")
        if not isinstance(value, str) or not value or not value.isprintable():
            problems.append(f"{key!r} {where} must be a text of printable characters")
    if "output" in values and values["output"] not in OUTPUTS:
        problems.append(f"'output' {where} must be one of {', '.join(OUTPUTS)}")
    if "token_file" in values and ("cert" in values or "key" in values):
        problems.append(f"a token file or a certificate with its key, not both, {where}")
    if ("cert" in values) != ("key" in values):
        problems.append(f"'cert' and 'key' belong together {where}")
    return problems


def _document(profiles: Profiles) -> str:
    parts = [_HEADER] + ([f"use = {_quoted(profiles.use)}\n"] if profiles.use else [])
    for name, values in sorted(profiles.named.items()):
        lines = [f"{key} = {_quoted(values[key])}\n" for key in KEYS if key in values]
        parts.append(f"\n[profiles.{name}]\n" + "".join(lines))
    return "".join(parts)


def _quoted(text: str) -> str:
    """A basic string of TOML; the text is printable, so that only these two need an escape."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
