"""What pages show of files and of computations is taken, or gives the same, as it stands."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from server.config.loading import read_sources
from server.recordings.uploads.parts import PartSchedule
from tests.docs.console_blocks import shown
from tests.docs.test_links import PAGES, ROOT

CONFIGURATIONS = [(page, text) for page in PAGES for text in shown(page.read_text(), "toml")]


@pytest.mark.parametrize(("page", "text"), CONFIGURATIONS, ids=lambda value: getattr(value, "name", ""))
def test_a_configuration_is_taken(page: Path, text: str, tmp_path: Path) -> None:
    file = tmp_path / "extaudit.toml"
    file.write_text(text)
    problems = read_sources({"config": str(file)}, {}).problems
    assert [str(each) for each in problems if ": the file can't be read (No such file" not in str(each)] == []


class Counted:
    """A file of so many parts, each of one byte however much is asked for."""

    def __init__(self, parts: int) -> None:
        self.parts = parts
        self.asked: list[int] = []

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, size: int) -> bytes:
        self.asked.append(size)
        return b"x" if len(self.asked) <= self.parts else b""


def test_the_custody_digest_is_computed_of_the_parts_that_the_service_makes() -> None:
    program, parts, schedule = shown((ROOT / "docs" / "recordings.md").read_text(), "python")[0], 2_001, PartSchedule()
    file = Counted(parts)
    known: dict[str, Any] = {"open": lambda *_: file}
    exec(compile(program, "recordings.md", "exec"), known)
    digest = known["custody_digest"]("recording.tar")
    assert file.asked[:parts] == [schedule.size(number) for number in range(1, parts + 1)]
    assert digest == hashlib.sha256(hashlib.sha256(b"x").digest() * parts).hexdigest()
