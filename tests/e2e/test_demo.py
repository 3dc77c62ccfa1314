"""`make demo` tells its story to the end, as a page shows it; its exit code says where anything comes out otherwise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.demo.answers import compare
from tests.demo.page import not_printed
from tests.demo.story import Otherwise, Story
from tests.running_server import environment

ROOT = Path(__file__).parents[2]
TITLES = [
    "The service",
    "Who you are",
    "An integration with your AWS account",
    "A draft",
    "The infrastructure",
    "The connection test",
    "The promotion",
    "Events",
    "Recordings",
    "Searches",
    "The same without the service",
    "Watching and exporting",
    "The way back",
]
FOUND = b'{"a":1,"uid":"1"}'


@pytest.mark.timeout(600)
def test_the_story_comes_out_as_it_is_told(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tests.demo"],
        cwd=ROOT,
        env=environment() | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=580,
        check=False,
    )
    assert told.returncode == 0, told.stdout
    chapters = [line for line in told.stdout.splitlines() if re.match(r"\d+\. ", line)]
    assert chapters == [f"{number}. {title}" for number, title in enumerate(TITLES, 1)]
    assert list(tmp_path.iterdir()) == []
    assert not_printed(told.stdout) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [(["roles", "check"], {}), (["--version"], {"says": ["another"]}), (["--version"], {"code": 1})],
)
def test_what_comes_out_otherwise_ends_the_story(tmp_path: Path, words: list[str], expected: dict[str, object]) -> None:
    with pytest.raises(Otherwise):
        Story(tmp_path, environment()).run(*words, **expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"", [FOUND]),
        (FOUND, []),
        (FOUND + b"\n" + FOUND, [FOUND]),
        (FOUND, [FOUND, FOUND]),
        (FOUND.replace(b"1", b"2", 1), [FOUND]),
        (FOUND + b" ", [FOUND]),
    ],
    ids=["lacking", "not sent", "twice", "once of two", "other bytes", "a byte more"],
)
def test_an_answer_that_is_not_what_was_sent_ends_the_story(given: bytes, expected: list[bytes]) -> None:
    compare(FOUND, [FOUND], "as it was sent")
    compare(FOUND, [b'{"a":1}'], "with a uid that was put in")
    with pytest.raises(Otherwise):
        compare(given, expected, "an answer")
