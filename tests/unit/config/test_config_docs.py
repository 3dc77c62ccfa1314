"""The generated page tells every setting, and its freshness check notices a change."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from server.config import load_config
from server.config.settings import settings

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "configuration.md"


def test_the_page_is_fresh() -> None:
    done = subprocess.run([sys.executable, ROOT / "tools" / "generate_config_docs.py", "--check"], timeout=240)
    assert done.returncode == 0


def test_the_check_refuses_a_stale_page(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "docs").mkdir()
    script = tmp_path / "tools" / "generate_config_docs.py"
    script.write_bytes((ROOT / "tools" / "generate_config_docs.py").read_bytes())

    def run(*arguments: str) -> int:
        return subprocess.run(
            [sys.executable, script, *arguments], stderr=subprocess.DEVNULL, cwd=ROOT, timeout=240
        ).returncode

    assert run("--check") == 1
    assert run() == 0
    assert run("--check") == 0
    page = tmp_path / "docs" / "configuration.md"
    page.write_text(page.read_text() + "more\n")
    assert run("--check") == 1
    assert run("--chek") == 2


def test_every_setting_has_its_row() -> None:
    text = PAGE.read_text()
    for each in settings():
        assert f"| `{each.field}` | `{each.flag}` | `{each.variable}` |" in text


def test_the_example_of_the_page_loads(tmp_path: Path) -> None:
    example = PAGE.read_text().split("```toml\n")[1].split("```")[0]
    for name in tomllib.loads(example)["grpc"]["host_ca"] + tomllib.loads(example)["grpc"]["user_ca"]:
        file = tmp_path / Path(name).name
        file.write_text("-----BEGIN CERTIFICATE-----\n")
        example = example.replace(name, str(file))
    (tmp_path / "example.toml").write_text(example)
    assert load_config({"config": str(tmp_path / "example.toml")}, {}).cluster_name == "audit.example.org"
