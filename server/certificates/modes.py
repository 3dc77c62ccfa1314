"""File modes: what others on this machine could read or change refuses the start."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from server.certificates.identity_folder import FOLDER
from server.certificates.problems import CertificateProblem
from server.state.database import FILE_NAME


@dataclass(frozen=True, slots=True)
class Exposed:
    """A file or folder that group or others have a right to."""

    name: str
    """Relative to the data directory, or in words."""
    mode: int
    remedy: str
    """The command that mends it."""


def check_modes(data_dir: Path, ready_file: Path | None = None) -> None:
    """Refuse a data directory, keys, a ready-file or a state database that group or others have any right to.

    `ready_file` is the configured one; `ready.json` in the data directory is always looked at. What isn't there
    is fine.

    Raises:
        CertificateProblem: names every such file, relative to the data directory, with the chmod that mends it.
    """
    problems = mode_problems(data_dir, ready_file)
    if problems:
        raise CertificateProblem("; ".join(problems))


def mode_problems(data_dir: Path, ready_file: Path | None = None) -> list[str]:
    """What `check_modes` refuses, one text each, with the chmod that mends it."""
    return [
        f"{each.name} has mode {each.mode:04o} and may only be its owner's: run {each.remedy}"
        for each in exposed_files(data_dir, ready_file)
    ]


def exposed_files(data_dir: Path, ready_file: Path | None = None) -> Iterator[Exposed]:
    """What `check_modes` refuses."""
    for name, path, mode in private_files(data_dir, ready_file):
        try:
            found = stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError:
            continue
        if found & 0o077:
            target = (path.name or ".") if name.startswith("the ") else name
            yield Exposed(name, found, f"chmod {mode} {target}")


def private_files(data_dir: Path, ready_file: Path | None) -> Iterator[tuple[str, Path, str]]:
    """Everything that may only be its owner's, there or not: its name, its path and its mode."""
    yield "the data directory", data_dir, "700"
    yield FOLDER, data_dir / FOLDER, "700"
    keys = sorted((data_dir / FOLDER).glob("*.key")) + sorted((data_dir / FOLDER).glob("*.key.part"))
    for key in keys:
        yield f"{FOLDER}/{key.name}", key, "600"
    for path in sorted(data_dir.glob(f"{FILE_NAME}*")):
        yield path.name, path, "600"
    yield "ready.json", data_dir / "ready.json", "600"
    if ready_file is not None and ready_file != data_dir / "ready.json":
        yield f"the ready-file {ready_file.name}", ready_file, "600"
