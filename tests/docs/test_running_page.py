"""The unit for systemd and the page on it are of one mind, and of that of the command."""

from __future__ import annotations

import shlex
import tomllib
from collections import defaultdict

from tests.docs.console_blocks import shown
from tests.docs.test_named_commands import unknown
from tests.docs.walk import ROOT

PAGE = (ROOT / "docs" / "running.md").read_text()
UNIT = ROOT / "deploy" / "systemd" / "extaudit.service"


def settings() -> dict[str, list[str]]:
    """By name; comments and sections left out."""
    found = defaultdict[str, list[str]](list)
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found[name].append(value)
    return dict(found)


def test_it_starts_what_the_page_installs_with_the_configuration_that_it_has_written() -> None:
    (start,) = settings()["ExecStart"]
    program, *words = shlex.split(start)
    assert program == "/opt/extaudit/.venv/bin/extaudit"
    assert unknown(["extaudit", *words]) == []
    assert words == ["serve", "--config", "/etc/extaudit.toml"]
    assert f"{program} {' '.join(words)} --check" in PAGE
    assert f"useradd --system --home-dir /var/lib/extaudit --shell /usr/sbin/nologin {settings()['User'][0]}" in PAGE


def test_what_the_service_writes_is_where_the_unit_lets_it() -> None:
    unit = settings()
    (configuration,) = shown(PAGE, "toml")
    assert tomllib.loads(configuration)["data_dir"] == f"/var/lib/{unit['StateDirectory'][0]}"
    assert unit["Environment"] == [f"XDG_CACHE_HOME=/var/cache/{unit['CacheDirectory'][0]}"]
    assert unit["StateDirectoryMode"] == unit["CacheDirectoryMode"] == ["0700"]
    assert "MemoryDenyWriteExecute" not in unit, "machine code couldn't be made"
