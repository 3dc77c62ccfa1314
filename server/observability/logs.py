"""Logs: one record a line on standard error, as JSON or as text for people.

Our code logs a fixed message and named fields: `log.warning("batch not delivered", extra={"fields": {"rows": 3}})`.
So that no event, search text, key or path can slip into a log, two things are never printed: the text of an exception,
and what other libraries put into their messages. Of an exception its types and the places in the code remain; of a
library's message its fixed first line.
"""

from __future__ import annotations

import contextvars
import json
import logging
import math
import sys
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TextIO

REQUEST_ID: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
"""Id of the call that is being served; '' outside calls."""

OWN_LOGGERS = ("server", "rbac")
"""Loggers, with all below them, whose messages are ours."""

_MAX_TEXT = 1_000
_MAX_ITEMS = 50
_MAX_FRAMES = 40
_MAX_CAUSES = 5


def configure(level: str, form: str, stream: TextIO | None = None) -> logging.Handler:
    """Send the logs of the whole process to `stream` (standard error) and give back the handler.

    `level` is `debug`, `info`, `warning` or `error`, `form` is `json` or `text`, as the configuration has checked.
    Our loggers start at `level`; those of libraries at `warning`, or at `level` where that is more severe. Handlers
    that libraries or earlier calls installed are removed.
    """
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    own_level = logging.getLevelName(level.upper())
    root = logging.getLogger()
    for installed in list(root.handlers):
        root.removeHandler(installed)
    root.addHandler(handler)
    root.setLevel(max(logging.WARNING, own_level))
    for name in OWN_LOGGERS:
        logging.getLogger(name).setLevel(own_level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "grpc", "asyncio", "casbin"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(logging.NOTSET)
    return handler


class JsonFormatter(logging.Formatter):
    """One JSON object a line, in ASCII: time, level, logger, message; request_id, fields and error where there are."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        if request_id := REQUEST_ID.get():
            line["request_id"] = request_id
        if fields := _fields(record):
            line["fields"] = fields
        if record.exc_info and record.exc_info[1]:
            line["error"] = list(_errors(record.exc_info[1]))
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """One line for people; errors follow on indented lines. Whatever could steer a terminal is escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """The lines, without the last one's end."""
        parts = [_time(record), f"{record.levelname:7}", printable(_message(record))]
        for name, value in _fields(record).items():
            parts.append(f"{printable(name)}={json.dumps(value)}")
        if request_id := REQUEST_ID.get():
            parts.append(f"request_id={printable(request_id)}")
        lines = [" ".join(parts)]
        if record.exc_info and record.exc_info[1]:
            for error in _errors(record.exc_info[1]):
                lines.append(f"    {error['type']}")
                lines += [f"        {place}" for place in error["places"]]
        return "\n".join(lines)


def printable(text: str) -> str:
    """The text with everything escaped that is not visible: control, bidi and other format characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- the base class's name
        # The base class would print the record's raw message and arguments. With standard error gone there is no
        # place left to tell of it.
        pass


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_own(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in OWN_LOGGERS


def _message(record: logging.LogRecord) -> str:
    template = str(record.msg) if isinstance(record.msg, str) else type(record.msg).__name__
    if not _is_own(record):
        return template.strip().partition("\n")[0][:_MAX_TEXT]
    try:
        return (template % record.args if record.args else template)[:_MAX_TEXT]
    except (TypeError, ValueError, KeyError):
        return template[:_MAX_TEXT]


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = getattr(record, "fields", None)
    if not _is_own(record) or not isinstance(fields, Mapping):
        return {}
    return {str(name): _value(value) for name, value in fields.items()}


def _value(value: object) -> object:
    """What of a field is logged: plain values and short lists of them; of anything else, such as bytes, its type."""
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in list(value)[:_MAX_ITEMS]]
    return _plain(value)


def _plain(value: object) -> object:
    if isinstance(value, str):
        return value if len(value) <= _MAX_TEXT else value[:_MAX_TEXT] + "…"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return f"<{type(value).__name__}>"


def _errors(error: BaseException) -> Iterator[dict[str, str | list[str]]]:
    """Types and places of an exception and of what it came from; never its text."""
    cause: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if cause is None:
            return
        frames = traceback.extract_tb(cause.__traceback__)[-_MAX_FRAMES:]
        yield {
            "type": f"{type(cause).__module__}.{type(cause).__qualname__}",
            "places": [f"{_module(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames],
        }
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _module(file: str) -> str:
    """The last three parts of a file's path: enough to find it, without telling where it is installed."""
    return "/".join(PurePath(file).parts[-3:])
