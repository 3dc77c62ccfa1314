"""How the sections describe a setting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

MESSAGE_OVERHEAD_BYTES = 64 * KIB
"""What a gRPC message may need beyond the largest event in it."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a text must be."""

    pattern: str
    """It is matched as a whole."""
    words: str
    """The same for people: goes on behind `must be`."""


URL = Form(r"[!-?A-~]{1,200}", "a URL of at most 200 characters of ASCII, without spaces, user and password (no `@`)")
CLUSTER = Form(
    r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?",
    "1 to 253 characters of `a-z`, `0-9`, `.` and `-`, a letter or digit at both ends",
)
REGION = r"[a-z]{2}(-[a-z]+){1,3}-[0-9]{1,2}"


def word(longest: int) -> Form:
    """Of so many characters at most, none of which needs a second look."""
    return Form(rf"[!-~]{{1,{longest}}}", f"at most {longest} characters of ASCII, without spaces")


def setting(
    default: Any,
    doc: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    form: Form | None = None,
    shown: str = "",
    reload: bool = False,
) -> Any:
    """A field of a section.

    `low` and `high` bound a number, both included; `choices` and `form` bound a text; `shown` stands
    for the default in help and documentation where it follows from other settings; `reload` says that SIGHUP puts a
    changed value into force (`server/reloading.py` does it), where others wait for a restart.
    """
    limits = {"unit": unit, "low": low, "high": high, "choices": choices, "form": form}
    return field(default=default, metadata={"doc": doc, "shown": shown, "reload": reload, **limits})


def tables(of: type[Any], doc: str) -> Any:
    """A field of a section that is a list of tables of class `of`, and so can be given in the file only."""
    return field(default=(), metadata={"tables": of, "doc": doc})
