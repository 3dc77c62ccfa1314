"""`extaudit roles check`: files of roles, without a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from extaudit_cli.main import run

GOOD = "kind: role\nversion: v7\nmetadata: {name: good}\nspec: {}\n"
BAD = 'kind: role\nversion: v9\nmetadata: {name: bad}\nspec: {allow: {rules: [{resources: ["e*"], verbs: [list]}]}}\n'
FOUND = [
    {"file": "b.yaml", "line": 2, "column": 1, "reason": "version must be v3 to v8"},
    {"file": "b.yaml", "line": 4, "column": 37, "reason": "resources has 'e*': neither a name nor * alone"},
]


def test_good_files_are_counted_and_the_exit_code_is_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    assert run(["roles", "check", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "1 file, 1 role, 0 problems\n"


def test_every_problem_has_its_place_and_the_exit_code_is_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(BAD)
    assert run(["roles", "check", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "b.yaml:2:1: version must be v3 to v8"
    assert lines[-1] == "2 files, 1 role, 2 problems"
    assert run(["roles", "check", str(tmp_path), "--output", "json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"files": 2, "roles": 1, "problems": FOUND}
    assert run(["roles", "check", str(tmp_path), "--output", "jsonl"]) == 1
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == FOUND


def test_what_a_server_would_refuse_beyond_one_file_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(GOOD + "---\n" + GOOD.replace("good", "editor"))
    assert run(["roles", "check", str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines()[:2] == [
        "b.yaml:1: 'good' is already the name of the role at a.yaml:1",
        "b.yaml:6: 'editor' is already the name of a preset",
    ]


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["roles", "check", str(tmp_path / "gone")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_control_characters_of_a_file_are_shown_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a\x1b[31m.yaml").write_text(BAD)
    assert run(["roles", "check", str(tmp_path)]) == 1
    assert "\x1b" not in capsys.readouterr().out
