"""What may stand in a file of the repository, and how long one may be."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from tests.shape.repository import PACKAGES, ROOT, own_files

MOST_LINES = 400
WISHED_LINES = 250

# Folders where people and CI machines keep their clones; a path below one says where somebody worked.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:root|work|workspace|Users|builds|home/runner)/\w")
THIS_CLONE = re.compile(rf"(?<![\w.]){re.escape(str(ROOT))}/")
REGISTRY = re.compile(r"(?:index-url|find-links|trusted-host)[ =]+\S+|files\.pythonhosted\.org")


def code_files() -> list[Path]:
    folders = [folder for name, folder in PACKAGES.items() if name != "extaudit"]
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in code_files()}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


@pytest.mark.filterwarnings("default")
def test_files_longer_than_wished_are_named() -> None:
    for path in code_files():
        length = len(path.read_text().splitlines())
        if length > WISHED_LINES:
            warnings.warn(f"{path.relative_to(ROOT)} has {length} lines; can it be two subjects?", stacklevel=1)


@pytest.mark.parametrize("word", ["utils", "util", "helpers", "helper", "common", "manager", "misc"])
def test_modules_are_named_by_subject(word: str) -> None:
    assert [path.relative_to(ROOT) for path in code_files() if path.stem == word or path.parent.name == word] == []


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY, THIS_CLONE])
def test_no_file_names_a_path_of_a_machine_or_a_registry(pattern: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in own_files()
        if path != Path(__file__)
        for match in pattern.finditer(path.read_text(errors="replace"))
    ]
    assert found == []
