"""A server whose configuration file is changed while it runs, and what it says of that."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from extaudit_client import Client
from extaudit_client.errors import ExtauditError

from tests.polling import until
from tests.running_server import RunningServer

READ_AGAIN = "the configuration was read again"
REFUSED = "the configuration is refused; the old one stays"
Values = Mapping[str, object]

BASE: Values = {
    "grpc.max_event_bytes": 65_536,
    "grpc.max_message_bytes": 2**21,
    "search.workers": 1,
    "issuer_url": "https://own.test",
    "issuer.publish_ahead_seconds": 0,
}
"""Small bounds, so that little is enough to reach them."""


class ReloadedServer:
    """A running server in `folder`, with `config.toml` there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "config.toml"
        self.write({})
        self.server = RunningServer(folder, "--config", str(self.file), "--data-dir", str(folder / "data"))
        self.pid = self.server.wait_until_ready()["pid"]

    def write(self, values: Values) -> None:
        """Put other values than those of BASE into the file, by names such as `grpc.listen`."""
        self.file.write_text(toml({**BASE, **values}))

    def reload(self, values: Values) -> tuple[list[str], list[str]]:
        """Change the file and have it read; gives the settings that changed and those that wait, as the log tells."""
        self.write(values)
        line = self.hang_up(READ_AGAIN)
        return _names(line, "changed"), _names(line, "waiting_for_a_restart")

    def refuse(self, text: str) -> str:
        """Have a file read that is wrong; gives the log's line."""
        self.file.write_text(text)
        return self.hang_up(REFUSED)

    def hang_up(self, message: str) -> str:
        """Send SIGHUP; gives the line that tells what became of it, which must have this message."""
        before = len(self._told())
        os.kill(self.pid, signal.SIGHUP)
        until(lambda: len(self._told()) > before)
        line = self._told()[-1]
        assert message in line, line
        return line

    def client(self) -> Client:
        """A client that leaves retries to its caller."""
        return self.server.client()

    def _told(self) -> list[str]:
        whole = self.server.said.rpartition("\n")[0]
        return [line for line in whole.split("\n") if READ_AGAIN in line or REFUSED in line]


def reason_of(call: Callable[[], object]) -> str:
    """Why the call is refused; '' if it isn't."""
    try:
        call()
    except ExtauditError as error:
        return error.reason
    return ""


def toml(values: Values) -> str:
    """The values as a file; those of no section first."""
    tables: dict[str, dict[str, object]] = {"": {}}
    for name, value in values.items():
        section, _, field = name.rpartition(".")
        tables.setdefault(section, {})[field] = value
    lines = []
    for section, fields in tables.items():
        lines += [f"[{section}]"] if section else []
        lines += [f"{field} = {_value(value)}" for field, value in fields.items()]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_value(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(str(value) if isinstance(value, Path) else value)


def _names(line: str, member: str) -> list[str]:
    """A list among the fields of a line in either form."""
    found: Any = re.search(rf'{member}"?[:=] ?(\[.*?\])', line)
    names: list[str] = json.loads(found[1])
    return names
