"""The state of an export: what was asked, and how far it is durable in which file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from extaudit_cli.file_lock import locked
from server.files import Files, write_durably

if TYPE_CHECKING:
    from extaudit_client import MissingPart

_VERSION: Final = 1


class StateProblem(Exception):
    """The state can't be used; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class OpenFile:
    """The file that is being written: how many bytes of it are durable, and the sequences it is meant for.

    `log_id` is '' and the sequences are 0 for a file that isn't one chunk's. `name` is what it is called while it isn't
    whole, `final` what it is called then; '' until it is.
    """

    name: str
    bytes: int = 0
    log_id: str = ""
    first: int = 0
    last: int = 0
    final: str = ""


@dataclass(frozen=True, slots=True)
class ExportState:
    """How far an export is. `place` says for each log up to which sequence all that was asked for is in its files.

    `tails` counts the files of events that weren't in chunks; `json_bytes` are those of the events' JSON.
    """

    question: Mapping[str, Any]
    place: Mapping[str, int] = field(default_factory=dict)
    open: OpenFile | None = None
    tails: int = 0
    files: int = 0
    events: int = 0
    json_bytes: int = 0
    missing: tuple[MissingPart, ...] = ()
    foreign_objects: int = 0
    uncounted: tuple[MissingPart, ...] = ()
    """Why the last list may have counted too few of them; another one counts anew."""
    finished: bool = False
    owner: str = ""
    """Random, and also in the folder that is written: it is this state's and no other's. '' where no folder is."""
    claimed: bool = False
    """Whether the folder has it."""

    @property
    def gaps(self) -> tuple[MissingPart, ...]:
        """All that is missing, for good or from the last count."""
        return (*self.missing, *self.uncounted)


class StateFile:
    """Keeps a state in a file; each save is durable, and a reader sees the one before it or all of it."""

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self._path = path

    def load(self) -> ExportState | None:
        """The state; None where there is no such file.

        Raises:
            StateProblem: the file isn't a state, or one of a later version.
        """
        if self._files.size(self._path) is None:
            return None
        self._files.sync_folder(self._path.parent)  # a stop may have come before that, and what is read is built upon
        try:
            return _state(json.loads(self._files.read(self._path)))
        except (ValueError, KeyError, TypeError) as error:
            raise StateProblem(f"{self._path} isn't the state of an export that this version can go on with") from error

    def save(self, state: ExportState) -> None:
        """Keep a state."""
        document = {"version": _VERSION, **asdict(state)}
        write_durably(self._files, self._path, json.dumps(document, indent=1).encode() + b"\n")


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock of a state.

    Raises:
        StateProblem: another export holds it.
    """
    with ExitStack() as lock:
        try:
            lock.enter_context(locked(path))
        except BlockingIOError:
            raise StateProblem(f"another export is using {path}") from None
        yield


def _state(document: Mapping[str, Any]) -> ExportState:
    from extaudit_client import MissingPart

    if document["version"] != _VERSION:
        raise ValueError("another version")
    members = {name: value for name, value in document.items() if name != "version"}
    opened = members["open"]
    members["open"] = OpenFile(**opened) if opened is not None else None
    for name in ("missing", "uncounted"):
        members[name] = tuple(MissingPart(**part) for part in members.get(name, ()))
    return ExportState(**members)
