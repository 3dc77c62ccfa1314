"""Events that a terminal didn't show, in one line each: queries, commands, requests, joins."""

from __future__ import annotations

from typing import Any, Final

from server.recordings.playback.session_events import Moment

_TELLING: Final = {
    "db.session.query": ("db_query", "db_query_parameters", "error"),
    "db.session.query.failed": ("db_query", "error"),
    "db.session.start": ("db_service", "db_protocol", "db_name", "db_user", "error"),
    "session.command": ("path", "argv", "return_code"),
    "session.disk": ("path", "return_code"),
    "session.network": ("src_addr", "dst_addr", "dst_port"),
    "exec": ("command", "exitCode"),
    "app.session.request": ("method", "path", "raw_query", "status_code"),
    "resize": ("size",),
    "session.start": ("login", "server_hostname", "initial_command", "size"),
    "windows.desktop.session.start": ("windows_domain", "windows_user", "desktop_name"),
}
"""The members that tell most of an event, by its type."""
_OTHERS: Final = ("user", "login", "reason", "error")
DRAWN: Final = frozenset({"print", "desktop.recording"})
"""Types of which there are too many for a line each."""


def description(moment: Moment) -> str:
    """What an event says, in one line without its time; may hold any character."""
    fields = moment.fields
    said = [
        _value(fields[key]) for key in _TELLING.get(moment.event.type, _OTHERS) if fields.get(key) not in (None, "")
    ]
    return " ".join([moment.event.type or "unknown event", *said])


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_value, value))
    return str(value)


def clock(offset_ms: int) -> str:
    """Time since the session began, such as `0:01:02.345`."""
    seconds, ms = divmod(offset_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}.{ms:03}"
