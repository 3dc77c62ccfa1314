"""What the logs look like, and what can never get into them."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from server.observability import logs

CANARY = "CANARY-7f3a"


@pytest.fixture
def own() -> Iterator[logging.Logger]:
    """A logger of ours that nothing else listens to."""
    logger = logging.getLogger("server.test_logs")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.handlers.clear()
    logger.propagate = True


@pytest.fixture
def foreign() -> Iterator[logging.Logger]:
    logger = logging.getLogger("some_library.test_logs")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.handlers.clear()
    logger.propagate = True


def listen(logger: logging.Logger, formatter: logging.Formatter) -> io.StringIO:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    return stream


def json_line(logger: logging.Logger, *args: object, **kwargs: Any) -> dict[str, Any]:
    stream = listen(logger, logs.JsonFormatter())
    logger.warning(*args, **kwargs)
    [line] = stream.getvalue().splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def raise_chain() -> None:
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        raise RuntimeError(f"outer {CANARY}") from error


def test_a_json_record_has_time_level_logger_message_and_fields(own: logging.Logger) -> None:
    line = json_line(own, "batch not delivered", extra={"fields": {"rows": 3, "storage": "default", "late": True}})
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "server.test_logs",
        "message": "batch not delivered",
        "fields": {"rows": 3, "storage": "default", "late": True},
    }


def test_the_request_id_of_the_call_is_in_its_records_alone(own: logging.Logger) -> None:
    token = logs.REQUEST_ID.set("abc")
    inside = json_line(own, "x")
    logs.REQUEST_ID.reset(token)
    own.handlers.clear()
    assert inside["request_id"] == "abc"
    assert "request_id" not in json_line(own, "x")


@pytest.mark.parametrize(
    ("value", "logged"),
    [
        (None, None),
        (1.5, 1.5),
        (float("nan"), "nan"),
        ("x" * 1_001, "x" * 1_000 + "…"),
        (CANARY.encode(), "<bytes>"),
        (ValueError(CANARY), "<ValueError>"),
        ({"key": CANARY}, "<dict>"),
        (["a", 1, [CANARY], b"x"], ["a", 1, "<list>", "<bytes>"]),
        (list(range(60)), list(range(50))),
    ],
)
def test_only_plain_bounded_values_are_logged(own: logging.Logger, value: object, logged: object) -> None:
    assert json_line(own, "x", extra={"fields": {"value": value}})["fields"] == {"value": logged}


@pytest.mark.parametrize("form", [logs.JsonFormatter, logs.TextFormatter])
def test_an_exception_leaves_types_and_places_and_never_its_text(
    own: logging.Logger, form: type[logging.Formatter]
) -> None:
    stream = listen(own, form())
    try:
        raise_chain()
    except RuntimeError:
        own.exception("failed")
    text = stream.getvalue()
    assert CANARY not in text
    assert "builtins.RuntimeError" in text
    assert "builtins.ValueError" in text
    assert "raise_chain" in text
    assert __file__ not in text


@pytest.mark.parametrize("form", [logs.JsonFormatter, logs.TextFormatter])
def test_a_library_leaves_the_fixed_first_line_of_its_message(
    foreign: logging.Logger, form: type[logging.Formatter]
) -> None:
    stream = listen(foreign, form())
    foreign.error("Task exception was never retrieved\nfuture: %s", CANARY, extra={"fields": {"x": CANARY}})
    foreign.error("could not read %s", CANARY)
    foreign.error(ValueError(CANARY))
    text = stream.getvalue()
    assert CANARY not in text
    assert "future" not in text
    assert "Task exception was never retrieved" in text
    assert "could not read %s" in text
    assert "ValueError" in text


def test_no_text_can_steer_a_terminal_or_forge_a_line(own: logging.Logger) -> None:
    evil = "a\x1b[31m\nb\r\u202ec\u2028d\x9be\u200f"
    plain = listen(own, logs.TextFormatter())
    line = json_line(own, evil, extra={"fields": {evil: evil}})
    assert line["message"] == evil
    own.handlers.clear()
    stream = listen(own, logs.JsonFormatter())
    own.warning(evil, extra={"fields": {evil: evil}})
    for text in (plain.getvalue(), stream.getvalue()):
        assert text.endswith("\n")
        assert text[:-1].isprintable()


def test_text_is_one_line_with_fields(own: logging.Logger) -> None:
    stream = listen(own, logs.TextFormatter())
    own.info("started", extra={"fields": {"port": 1, "name": "a b"}})
    assert stream.getvalue().split(" ", 1)[1] == 'INFO    started port=1 name="a b"\n'


def test_a_message_that_does_not_fit_its_arguments_is_logged_without_them() -> None:
    record = logging.LogRecord("server.x", logging.INFO, __file__, 1, "a %d", (CANARY,), None)
    assert json.loads(logs.JsonFormatter().format(record))["message"] == "a %d"


PROGRAM = """
import asyncio, logging, os, sys
from server.observability import logs
logging.basicConfig(level=logging.DEBUG)
logging.getLogger("uvicorn").addHandler(logging.StreamHandler())
logs.configure({level!r}, "json")
for name in ("server.x", "rbac.x", "uvicorn.error", "grpc._cython.cygrpc", "asyncio"):
    for level in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger(name), level)(level)
"""


def heard(level: str) -> set[tuple[str, str]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(level=level)], capture_output=True, text=True, timeout=240, check=True
    )
    assert done.stdout == ""
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert len({(line["logger"], line["message"]) for line in lines}) == len(lines)
    return {(line["logger"].split(".")[0], line["level"]) for line in lines}


@pytest.mark.parametrize(
    ("level", "own_levels", "library_levels"),
    [
        ("debug", {"debug", "info", "warning", "error"}, {"warning", "error"}),
        ("info", {"info", "warning", "error"}, {"warning", "error"}),
        ("error", {"error"}, {"error"}),
    ],
)
def test_levels_of_ours_are_as_configured_and_libraries_only_warn(
    level: str, own_levels: set[str], library_levels: set[str]
) -> None:
    expected = {(name, each) for name in ("server", "rbac") for each in own_levels}
    expected |= {(name, each) for name in ("uvicorn", "grpc", "asyncio") for each in library_levels}
    assert heard(level) == expected


def test_a_closed_standard_error_prints_nothing_else() -> None:
    program = (
        "import io, logging, sys\n"
        "from server.observability import logs\n"
        "broken = io.StringIO(); broken.close()\n"
        "logs.configure('info', 'json', broken)\n"
        f"logging.getLogger('server.x').info('x', extra={{'fields': {{'a': '{CANARY}'}}}})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_text_without_control_characters_stays_as_it_is() -> None:
    assert logs.printable("grün ü 日本") == "grün ü 日本"
