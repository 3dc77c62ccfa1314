"""How people see what the doctor found."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from extaudit_cli.colours import Paint
from extaudit_cli.doctor_report import Header, lines_of, print_report

from server.doctor.findings import Fault, Severity
from server.doctor.report import Examination

HEADER = Header("1.0.0", datetime(2026, 11, 28, tzinfo=UTC), "host", Path("/data"), "", deep=False)
FOUND = [
    Examination("storage", [Fault(each.value, each, "It is so.", "Mend it.").of("\x1b[31mx") for each in Severity]),
    Examination("journal", facts={"events waiting": 1273, "quota bytes": 1024, "server": "running"}),
    Examination("clock", skipped="no state"),
]


def test_severities_have_colours_and_what_was_found_gives_none() -> None:
    painted, plain = lines_of(HEADER, FOUND, Paint(True)), lines_of(HEADER, FOUND, Paint(False))
    assert [re.sub(r"\x1b\[\d*m", "", line) for line in painted] == plain
    assert painted[0].startswith("\x1b[31mERROR   \x1b[0m storage")
    colours = re.findall(r"\x1b\[(\d+)m([A-Za-z]+)", "\n".join(painted))
    assert colours == [
        ("31", "ERROR"), ("36", "notice"), ("33", "warning"), ("31", "error"), ("32", "OK"), ("2", "SKIPPED"),
    ]  # fmt: skip
    assert "\x1b" not in "".join(plain)


def test_a_pipe_has_no_colours_unless_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "NO_COLOR", "CLICOLOR_FORCE":
        monkeypatch.delenv(name, raising=False)
    print_report(HEADER, FOUND, "table")
    assert "\x1b" not in capsys.readouterr().out
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    print_report(HEADER, FOUND, "table")
    assert "\x1b[31mERROR" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    print_report(HEADER, FOUND, "table")
    assert "\x1b" not in capsys.readouterr().out


def test_numbers_are_written_as_everywhere() -> None:
    line = next(line for line in lines_of(HEADER, FOUND, Paint(False)) if "journal" in line)
    assert line == "OK       journal  events waiting 1,273, quota 1.0 KiB, server running"
