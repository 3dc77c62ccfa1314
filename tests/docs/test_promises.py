"""Each promise names tests that are there."""

from __future__ import annotations

import re

import pytest

from tests.docs.walk import ROOT

PROMISES = (ROOT / "docs" / "promises.md").read_text()
NAMES = re.compile(r"`(?P<file>tests/[\w/]+\.py)?(?:::(?P<test>\w+))?`")


def named() -> list[tuple[str, str]]:
    """File and test, '' for all of the file; a test without a file is of the one before it in the line."""
    found = dict[tuple[str, str], None]()
    for line in PROMISES.splitlines():
        file = ""
        for each in NAMES.finditer(line):
            file = each["file"] or file
            found[file, each["test"] or ""] = None
    return sorted(found)


NAMED = named()


def test_every_promise_has_a_test() -> None:
    sections = re.split(r"^## ", PROMISES, flags=re.M)[1:]
    assert [section.split("\n")[0] for section in sections if "tests/" not in section] == ["Limits"]


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda value: value.rpartition("/")[2])
def test_a_test_that_a_promise_names_is_there(file: str, name: str) -> None:
    text = (ROOT / file).read_text()
    assert re.search(rf"^(async )?def {name or 'test_'}", text, re.M)
