"""Who runs a command on this machine, for audit events."""

from __future__ import annotations

import getpass
import os


def operator() -> str:
    """The name of this process's user; its number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
