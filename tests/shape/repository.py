"""Where the repository is, and what is in it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Import name -> the folder that it must resolve to.
PACKAGES = {
    "server": ROOT / "server",
    "rbac": ROOT / "rbac",
    "extaudit": ROOT / "protos/gen/extaudit",
    "extaudit_client": ROOT / "clients/python/extaudit_client",
    "extaudit_cli": ROOT / "clients/cli/extaudit_cli",
}


def own_files() -> list[Path]:
    """Every file that is or would be committed."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git clone")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]
