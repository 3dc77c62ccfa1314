"""File modes: what others on this machine could read or change refuses the start."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from server.certificates.identity_folder import FOLDER
from server.certificates.problems import CertificateProblem
from server.state.database import FILE_NAME

_FOLDER = "700"
"""The mode of what is a folder."""


@dataclass(frozen=True, slots=True)
class Exposed:
    """A file or folder that group or others have a right to."""

    name: str
    """Relative to the data directory, or in words."""
    mode: int
    remedy: str
    """The command that mends it."""


def check_modes(data_dir: Path) -> None:
    """Refuse a data directory, keys or a state database that group or others have any right to, where they are there.

    Raises:
        CertificateProblem: names every such file, relative to the data directory, with the chmod that mends it.
    """
    problems = mode_problems(data_dir)
    if problems:
        raise CertificateProblem("; ".join(problems))


def mode_problems(data_dir: Path) -> list[str]:
    """What `check_modes` refuses, one text each, with the chmod that mends it."""
    return [
        f"{each.name} has mode {each.mode:04o} and may only be its owner's: run {each.remedy}"
        for each in exposed_files(data_dir)
    ]


def exposed_files(data_dir: Path) -> Iterator[Exposed]:
    """What `check_modes` refuses. What is no file where one belongs is never opened, whatever its mode."""
    for name, path, mode in private_files(data_dir):
        try:
            found = path.stat().st_mode
        except FileNotFoundError:
            continue
        if found & 0o077 and (stat.S_ISREG(found) or mode == _FOLDER):
            yield Exposed(name, stat.S_IMODE(found), f"chmod {mode} {shlex.quote(os.path.abspath(path))}")


def private_files(data_dir: Path) -> Iterator[tuple[str, Path, str]]:
    """Everything that may only be its owner's, there or not: its name, its path and its mode."""
    yield "the data directory", data_dir, _FOLDER
    yield FOLDER, data_dir / FOLDER, _FOLDER
    keys = sorted((data_dir / FOLDER).glob("*.key")) + sorted((data_dir / FOLDER).glob("*.key.part"))
    for key in keys:
        yield f"{FOLDER}/{key.name}", key, "600"
    for path in sorted(data_dir.glob(f"{FILE_NAME}*")):
        yield path.name, path, "600"
