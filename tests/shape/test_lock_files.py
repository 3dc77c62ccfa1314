"""The lock files pin and hash everything that the .in files ask for."""

from __future__ import annotations

import re

import pytest

from tests.shape.repository import ROOT


def pins(name: str) -> dict[str, tuple[str, int]]:
    """Package -> version and number of hashes."""
    text = (ROOT / "requirements" / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    matches = [re.match(r"([A-Za-z0-9._-]+)==(\S+)", line) for line in lines]
    assert all(matches), "every line is one pin"
    return {m[1].lower(): (m[2], line.count("--hash=sha256:")) for m, line in zip(matches, lines, strict=True) if m}


def asked(name: str) -> set[str]:
    text = (ROOT / "requirements" / name).read_text()
    lines = [line.strip() for line in text.splitlines()]
    return {re.split(r"[\[<>=! ]", line)[0].lower() for line in lines if line and line[0] not in "#-"}


@pytest.mark.parametrize("name", ["runtime", "tracing", "dev"])
def test_every_pin_has_hashes(name: str) -> None:
    assert [package for package, (_, hashes) in pins(f"{name}.txt").items() if not hashes] == []


@pytest.mark.parametrize("name", ["runtime", "tracing", "dev"])
def test_everything_asked_for_is_pinned(name: str) -> None:
    assert asked(f"{name}.in") - set(pins(f"{name}.txt")) == set()


def test_what_is_installed_over_the_service_changes_nothing_of_it() -> None:
    """As a grpcio that one request can end, and which the checks, with versions of their own, wouldn't see."""
    runtime, tracing = pins("runtime.txt"), pins("tracing.txt")
    assert {package: pin for package, pin in tracing.items() if runtime.get(package, pin) != pin} == {}


def test_the_checks_run_on_the_versions_that_run() -> None:
    runtime, development = pins("tracing.txt") | pins("runtime.txt"), pins("dev.txt")
    assert {package: pin for package, pin in runtime.items() if development.get(package) != pin} == {}


def test_the_lock_files_carry_no_command_line() -> None:
    assert [
        name
        for name in ("runtime.txt", "tracing.txt", "dev.txt")
        if (ROOT / "requirements" / name).read_text()[0] == "#"
    ] == []
