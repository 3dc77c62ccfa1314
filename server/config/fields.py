"""How the sections describe a setting."""

from __future__ import annotations

from dataclasses import field
from typing import Any

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

MESSAGE_OVERHEAD_BYTES = 64 * KIB
"""What a gRPC message may need beyond the largest event in it."""


def setting(
    default: Any,
    doc: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    pattern: str = "",
    shown: str = "",
    reload: bool = False,
) -> Any:
    """A field of a section.

    `low` and `high` bound a number, both included; `choices` and `pattern` (whole match) bound a text; `shown` stands
    for the default in help and documentation where it follows from other settings; `reload` says that SIGHUP puts a
    changed value into force (`server/reloading.py` does it), where others wait for a restart.
    """
    limits = {"unit": unit, "low": low, "high": high, "choices": choices, "pattern": pattern}
    return field(default=default, metadata={"doc": doc, "shown": shown, "reload": reload, **limits})


def tables(of: type[Any], doc: str) -> Any:
    """A field of a section that is a list of tables of class `of`, and so can be given in the file only."""
    return field(default=(), metadata={"tables": of, "doc": doc})
