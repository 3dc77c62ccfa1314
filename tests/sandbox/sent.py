"""Which actions the service sent to AWS in a run of many tests: each sandbox notes them in a file of a folder.

The folder is in the variable SANDBOX_SENT; `make test` sets it, and tests/connection/sent_by_suite.py reads it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.sandbox.calls import Call

VARIABLE = "SANDBOX_SENT"
SESSION = "extaudit"
"""Sessions of the service have this name, and those of tests others."""


class Sent:
    """Notes each action once, at once: a sandbox ends without farewell."""

    def __init__(self, folder: Path | None) -> None:
        self._file = folder / f"{os.getpid()}.jsonl" if folder else None
        self._known: set[tuple[str, str]] = set()

    def note(self, call: Call) -> None:
        """Note an action of the service, whatever became of it."""
        if self._file is None or not call.caller.endswith(f"/{SESSION}") or (call.action, call.via) in self._known:
            return
        self._known.add((call.action, call.via))
        with self._file.open("a") as file:
            file.write(json.dumps({"action": call.action, "via": call.via}) + "\n")


def sent_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Where to note; None where nobody asks."""
    return Path(environment[VARIABLE]) if environment.get(VARIABLE) else None


def read_sent(folder: Path) -> set[tuple[str, str]]:
    """Action and the service that acted for its caller, or '', of every sandbox that noted in the folder."""
    lines = [line for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]
    return {(each["action"], each["via"]) for each in map(json.loads, lines)}
