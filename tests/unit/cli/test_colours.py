from __future__ import annotations

import io

import pytest
from extaudit_cli.colours import Paint, Style, event_style


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "on_terminal", "piped"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, False, False),
        ({"CLICOLOR": "0"}, False, False),
        ({"CLICOLOR": "1"}, True, False),
        ({"CLICOLOR": "0", "CLICOLOR_FORCE": "1"}, True, True),
        ({"CLICOLOR_FORCE": "1"}, True, True),
        ({"CLICOLOR_FORCE": "0"}, True, False),
        ({"CLICOLOR_FORCE": ""}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": "xterm-256color"}, True, False),
    ],
)
def test_what_the_environment_says_of_colours(environment: dict[str, str], on_terminal: bool, piped: bool) -> None:
    assert Paint.for_stream(Terminal(), environment).enabled == on_terminal
    assert Paint.for_stream(io.StringIO(), environment).enabled == piped


def test_a_painted_text_ends_its_colour_and_an_empty_one_stays_empty() -> None:
    assert Paint(True)("x", "bad") == "\x1b[31mx\x1b[0m"
    assert Paint(True)("", "bad") == ""
    assert Paint(False)("x", "bad") == "x"


@pytest.mark.parametrize(
    ("code", "success", "style"),
    [
        ("T1000I", True, "plain"),
        ("T1000W", True, "warning"),
        ("T1000I", False, "warning"),
        ("T1010E", None, "bad"),
        (None, None, "plain"),
        (7, "no", "plain"),
        ("", None, "plain"),
    ],
)
def test_an_event_that_failed_stands_out(code: object, success: object, style: Style) -> None:
    assert event_style(code, success) == style
