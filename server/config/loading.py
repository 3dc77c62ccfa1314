"""Reading the configuration from its sources: defaults, one TOML file, the environment, flags; the later ones win.

Every problem of every source is found before any is reported. No message holds a value, since a value in the wrong
place may be a secret.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rbac.writers import refusal_of
from server.config.aws_rules import aws_problems_of
from server.config.issuer_rules import issuer_problems_of
from server.config.rules import Problem, problems_of
from server.config.sections import Config
from server.config.settings import PREFIX, Setting, Tables, WrongValue, section_types, settings, tables
from server.config.tables import read_tables
from server.config.token_rules import token_problems_of
from server.config.trace_rules import trace_problems_of
from server.data_directory import DataDirectory

_MAX_FILE_BYTES = 1024 * 1024

CLIENT_VARIABLES = frozenset(
    {"EXTAUDIT_ADDRESS", "EXTAUDIT_CA", "EXTAUDIT_CERT", "EXTAUDIT_KEY", "EXTAUDIT_PROFILE", "EXTAUDIT_TOKEN_FILE"}
)
"""Variables of the command line's client side, which may stand in the same environment."""

_TOML_PLACE = re.compile(r"\((at line \d+, column \d+|at end of document)\)$")
_CLUSTER_VARIABLE = re.compile(r"EXTAUDIT_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP)(_\w+)?)?)")
"""Kubernetes sets these in every pod beside a service that is called extaudit or extaudit-something."""


class ConfigProblems(Exception):
    """Everything that is wrong with the configuration; each of `problems` is one line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class ReadSources:
    """What all sources together give, right or wrong."""

    config: Config
    """With the default of every setting whose value is wrong."""
    problems: tuple[str, ...]
    """Everything that is wrong, one line each and none with a value."""
    wrong: frozenset[str]
    """Names of the settings that problems are about."""
    is_whole: bool
    """False where the file couldn't be read: then nothing is known of the settings in it."""
    origins: Mapping[str, str]
    """By key, the source of every value that isn't a default: `file`, or the name of a variable or flag."""
    file: Path | None
    """The TOML file, read or not; None where there is none."""
    file_found: os.stat_result | None
    """What the file was when it was read; None where it wasn't."""

    def refusal(self, account: int) -> str:
        """What is wrong with the file if others than this account and root can write it, as a line; "" if they can't.

        Apart from `problems`: whose files may be read is told by the data directory, which the file may name.
        """
        if self.file is None or self.file_found is None:
            return ""
        text = refusal_of(self.file, self.file_found, account)
        return f"--config: the file {text}" if text else ""

    def origin(self, key: str) -> str:
        """The source of a setting's value."""
        return self.origins.get(key, "default")


def load_config(flags: Mapping[str, object], environ: Mapping[str, str]) -> Config:
    """Put the configuration together and check it; arguments as `read_sources` has them.

    Raises:
        ConfigProblems: with everything that is wrong, be it that others than the data directory's owner and root can
            write the file.
    """
    read = read_sources(flags, environ)
    refusal = read.refusal(DataDirectory(read.config.data_dir).account)
    if problems := [*read.problems, *filter(None, [refusal])]:
        raise ConfigProblems(problems)
    return read.config


def read_sources(flags: Mapping[str, object], environ: Mapping[str, str]) -> ReadSources:
    """Read all sources, put them together and check them as a whole.

    Args:
        flags: By key (`grpc_listen`); None and () count as not given. `config` names the TOML file.
        environ: The environment; `EXTAUDIT_CONFIG` names the TOML file when no flag does. An empty variable counts as
            not given.
    """
    reading = _Reading()
    given = {key: value for key, value in flags.items() if value is not None and value != ()}
    file = given.pop("config", None) or environ.get(PREFIX + "CONFIG")
    is_whole = file is None or reading.take_file(str(file))
    reading.take_environment(environ)
    reading.take_flags(given)
    config = _build(reading.values)
    # Of issuers that could not be read, rules over all of them would only tell that they are missing.
    token_problems = () if reading.lacks_tables else token_problems_of(config)
    of_sections = (*trace_problems_of(config), *aws_problems_of(config), *issuer_problems_of(config))
    of_rules = [*problems_of(config), *token_problems, *of_sections]
    problems = reading.problems + [located(each, reading.origins) for each in of_rules]
    wrong = reading.wrong | {each.setting for each in of_rules}
    return ReadSources(
        config,
        tuple(problems),
        frozenset(wrong),
        is_whole,
        reading.origins,
        None if file is None else Path(str(file)),
        reading.file_found,
    )


def located(problem: Problem, origins: Mapping[str, str]) -> str:
    """The problem as a line that names the setting and the source of its value."""
    return f"{problem.setting} ({origins.get(_key(problem.setting), 'default')}): {problem.text}"


def digest(config: Config) -> str:
    """SHA-256 of all settings in effect, lower-case hex. Files count by their names, never by their content."""
    text = json.dumps(dataclasses.asdict(config), default=str, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class _Reading:
    """Values by setting key as the sources give them, where each came from, and what was wrong."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.problems: list[str] = []
        self.lacks_tables = False
        self.file_found: os.stat_result | None = None
        self.origins: dict[str, str] = {}
        self.wrong: set[str] = set()
        self._settings = {each.key: each for each in settings()}

    def take_file(self, file: str) -> bool:
        """Take what the file says; False if it can't be read as a whole."""
        try:
            with Path(file).open("rb") as opened:
                self.file_found = os.fstat(opened.fileno())
                content = opened.read(_MAX_FILE_BYTES + 1)
            if len(content) > _MAX_FILE_BYTES:
                self.problems.append("--config: the file is larger than 1 MiB")
                return False
            document = tomllib.loads(content.decode())
        except OSError as error:
            self.problems.append(f"--config: the file can't be read ({error.strerror})")
        except UnicodeDecodeError:
            self.problems.append("--config: the file is not UTF-8")
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            # The parser's own text quotes the document, so only the place is told.
            place = _TOML_PLACE.search(str(error))
            self.problems.append("--config: the file is not TOML" + (f", {place[1]}" if place else ""))
        else:
            self._take_document(document)
            return True
        return False

    def take_environment(self, environ: Mapping[str, str]) -> None:
        known = {each.variable: each for each in self._settings.values()}
        for name in sorted(environ):
            if name in known and environ[name]:
                self._take(known[name], environ[name], name)
            elif name.startswith(PREFIX) and name not in known and not _is_foreign(name):
                self.problems.append(f"{name}: there is no such setting")

    def take_flags(self, flags: Mapping[str, object]) -> None:
        for key, raw in flags.items():
            if key in self._settings:
                self._take(self._settings[key], raw, self._settings[key].flag)
            else:
                self.problems.append(f"--{key.replace('_', '-')}: there is no such setting")

    def _take_document(self, document: dict[str, Any]) -> None:
        sections = section_types()
        named: dict[str, object] = {}
        for name, value in document.items():
            if name not in sections:
                named[name] = value
            elif isinstance(value, dict):
                named |= {f"{name}.{key}": each for key, each in value.items()}
            else:
                self.problems.append(f"{name} (file): must be a section")
        by_name = {each.name: each for each in self._settings.values()}
        lists = {each.name: each for each in tables()}
        for name, value in named.items():
            if name in by_name:
                self._take(by_name[name], value, "file")
            elif name in lists:
                self.origins[lists[name].key] = "file"
                self.values[lists[name].key], wrong = read_tables(lists[name], value)
                self.problems += wrong
                self.lacks_tables |= bool(wrong)
            else:
                self.problems.append(f"{name!a} (file): there is no such setting")

    def _take(self, setting: Setting, raw: object, origin: str) -> None:
        self.origins[setting.key] = origin
        try:
            self.values[setting.key] = setting.parse(raw)
        except WrongValue as wrong:
            self.wrong.add(setting.name)
            self.problems.append(f"{setting.name} ({origin}): {wrong}")


def _is_foreign(name: str) -> bool:
    return name == PREFIX + "CONFIG" or name in CLIENT_VARIABLES or _CLUSTER_VARIABLE.fullmatch(name) is not None


def _key(name: str) -> str:
    """The key of a setting; of a list of tables, whichever of its entries the name is of."""
    return name.partition("[")[0].replace(".", "_")


def _build(values: Mapping[str, Any]) -> Config:
    """The configuration from values by key; what isn't among them keeps its default."""
    by_section: dict[str, dict[str, Any]] = {name: {} for name in ("", *section_types())}
    everything: tuple[Setting | Tables, ...] = (*settings(), *tables())
    for each in everything:
        if each.key in values:
            by_section[each.section][each.field] = values[each.key]
    sections = {name: of(**by_section[name]) for name, of in section_types().items()}
    return Config(**by_section[""], **sections)
