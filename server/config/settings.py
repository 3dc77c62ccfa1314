"""What every setting is called in each source, and how a raw value becomes one of its type."""

from __future__ import annotations

import dataclasses
import os
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from server.config.fields import GIB, KIB, MIB, Form
from server.config.sections import Config

PREFIX = "EXTAUDIT_"
"""What the environment variables of all settings begin with."""


class WrongValue(Exception):
    """A value that is not of the setting's type or outside its bounds; says what it must be, never what it is."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as its field in `sections` describes it."""

    section: str
    """'' for the settings that stand above all sections."""
    field: str
    hint: Any
    default: Any
    doc: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    form: Form | None
    shown: str
    reload: bool
    """True where SIGHUP puts a changed value into force."""

    @property
    def name(self) -> str:
        """Its TOML key: `grpc.listen`."""
        return f"{self.section}.{self.field}".lstrip(".")

    @property
    def key(self) -> str:
        """Its key among the flags: `grpc_listen`."""
        return self.name.replace(".", "_")

    @property
    def flag(self) -> str:
        """Its flag: `--grpc-listen`."""
        return "--" + self.key.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its environment variable: `EXTAUDIT_GRPC_LISTEN`."""
        return PREFIX + self.key.upper()

    @property
    def multiple(self) -> bool:
        """True when it takes several values."""
        return bool(self.hint == tuple[Path, ...])

    @property
    def type(self) -> type[str] | type[int] | type[float]:
        """The type of one value on the command line; paths are texts there."""
        if self.hint in (int, int | None):
            return int
        return float if self.hint is float else str

    @property
    def help(self) -> str:
        """Its meaning with unit and bounds, for the command line."""
        limits = ", ".join(filter(None, (self.unit, self.bounds)))
        return f"{self.doc} [{limits}]" if limits else self.doc

    @property
    def bounds(self) -> str:
        """Its bounds in words; '' if it has none."""
        if self.choices:
            return " or ".join(self.choices)
        return "" if self.low is None or self.high is None else f"{self.low:,} to {self.high:,}".replace(",", "_")

    @property
    def default_shown(self) -> str:
        """Its default in words."""
        if self.shown or not isinstance(self.default, int):
            return self.shown or str(self.default)
        if self.unit == "bytes":
            for size, unit in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
                if self.default % size == 0:
                    return f"{self.default} ({self.default // size} {unit})"
        return str(self.default)

    def value_in(self, config: Config) -> Any:
        """Its value in a configuration."""
        return getattr(getattr(config, self.section) if self.section else config, self.field)

    def parse(self, raw: object) -> Any:
        """Turn a raw value of any source into the setting's type and hold it to its bounds.

        Raises:
            WrongValue: with what it must be.
        """
        value = _PARSERS[self.hint](raw)
        if isinstance(value, int | float):
            self._check_bounds(value)
        if self.choices and value not in self.choices:
            raise WrongValue(f"must be {self.bounds}")
        if self.form is not None and not re.fullmatch(self.form.pattern, value):
            raise WrongValue(f"must be {self.form.words}")
        return value

    def _check_bounds(self, value: float) -> None:
        # Asked this way round so that not-a-number fails as well.
        inside = (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
        if not inside:
            raise WrongValue(f"must be {self.bounds} {self.unit}")


@cache
def settings() -> tuple[Setting, ...]:
    """All settings, those above the sections first, each section in its own order."""
    top: list[Setting] = []
    sections: list[Setting] = []
    for name, hint in typing.get_type_hints(Config).items():
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            sections += _of_class(name, hint)
        else:
            top += [each for each in _of_class("", Config) if each.field == name]
    return (*top, *sections)


@dataclass(frozen=True, slots=True)
class Tables:
    """A list of tables, which the file alone can hold."""

    section: str
    field: str
    of: type[Any]
    doc: str

    @property
    def name(self) -> str:
        """Its TOML key: `grpc.token_issuers`."""
        return f"{self.section}.{self.field}"

    @property
    def key(self) -> str:
        """Its key among the values read: `grpc_token_issuers`."""
        return self.name.replace(".", "_")

    def value_in(self, config: Config) -> tuple[Any, ...]:
        """Its entries in a configuration."""
        entries: tuple[Any, ...] = getattr(getattr(config, self.section), self.field)
        return entries

    def settings(self) -> list[Setting]:
        """The settings of one table."""
        return _of_class(self.name, self.of)


@cache
def tables() -> tuple[Tables, ...]:
    """All lists of tables."""
    return tuple(
        Tables(section, each.name, each.metadata["tables"], each.metadata["doc"])
        for section, of in section_types().items()
        for each in dataclasses.fields(of)
        if "tables" in each.metadata
    )


def section_types() -> dict[str, type[Any]]:
    """The dataclass of every section by its name."""
    hints = typing.get_type_hints(Config)
    return {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint) and isinstance(hint, type)}


def _of_class(section: str, of: type[Any]) -> list[Setting]:
    hints = typing.get_type_hints(of)
    return [
        Setting(section, each.name, hints[each.name], each.default, **each.metadata)
        for each in dataclasses.fields(of)
        if each.metadata and "tables" not in each.metadata
    ]


def _text(raw: object) -> str:
    if not isinstance(raw, str) or not raw.strip() or "\0" in raw:
        raise WrongValue("must be a text that is not empty")
    return raw


def _whole_number(raw: object) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if isinstance(raw, str):
        try:
            return int(raw)
        except ValueError:
            pass
    raise WrongValue("must be a whole number")


def _number(raw: object) -> float:
    if isinstance(raw, int | float | str) and not isinstance(raw, bool):
        try:
            return float(raw)
        except (ValueError, OverflowError):
            pass
    raise WrongValue("must be a number")


def _path(raw: object) -> Path:
    return raw if isinstance(raw, Path) else Path(_text(raw))


def _paths(raw: object) -> tuple[Path, ...]:
    """A list in TOML, a repeated flag, or one text in the environment with the system's path separator."""
    if isinstance(raw, str):
        raw = raw.split(os.pathsep)
    if not isinstance(raw, list | tuple):
        raise WrongValue("must be a list of paths")
    return tuple(_path(each) for each in raw)


def _texts(raw: object) -> tuple[str, ...]:
    """A list in TOML; one text alone is a list of one."""
    if isinstance(raw, str):
        raw = [raw]
    if not isinstance(raw, list | tuple):
        raise WrongValue("must be a text or a list of texts")
    return tuple(_text(each) for each in raw)


_PARSERS: typing.Mapping[Any, Callable[[object], Any]] = {
    str: _text,
    str | None: _text,
    tuple[str, ...]: _texts,
    int: _whole_number,
    int | None: _whole_number,
    float: _number,
    Path: _path,
    Path | None: _path,
    tuple[Path, ...]: _paths,
}
