"""Reading lists of tables, which only the file can hold: each entry by the settings of its class."""

from __future__ import annotations

import dataclasses
from typing import Any

from server.config.settings import Setting, Tables, WrongValue


def read_tables(tables: Tables, raw: object) -> tuple[tuple[Any, ...], list[str]]:
    """The entries that are as they must be, and everything that is wrong, one line each and none with a value."""
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        return (), [f"{tables.name} (file): must be a list of tables"]
    known = {each.field: each for each in tables.settings()}
    entries: list[Any] = []
    problems: list[str] = []
    for number, table in enumerate(raw):
        values, wrong = _read(known, table)
        problems += [f"{tables.name}[{number}].{text}" for text in wrong]
        if not wrong:
            entries.append(tables.of(**values))
    return tuple(entries), problems


def _read(known: dict[str, Setting], table: dict[str, object]) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    wrong = [
        f"{name} (file): must be given"
        for name, each in known.items()
        if each.default is dataclasses.MISSING and name not in table
    ]
    for name, raw in table.items():
        if name not in known:
            wrong.append(f"{name!a} (file): there is no such setting")
            continue
        try:
            values[name] = known[name].parse(raw)
        except WrongValue as error:
            wrong.append(f"{name} (file): {error}")
    return values, wrong
