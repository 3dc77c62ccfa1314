"""Where an export goes: a folder, a file, or stdout."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from extaudit_cli.exporting.folder_output import FolderOutput
from extaudit_cli.exporting.forms import FORMATS, Form
from extaudit_cli.exporting.outputs import FileOutput, Output, StreamOutput
from extaudit_cli.exporting.owner import OWNER
from extaudit_cli.exporting.state import ExportState, StateFile, StateProblem, held
from extaudit_cli.output import end_torn_line, ends_torn
from server.files import Files

FOLDER_STATE = "export-state.json"
FILE_STATE_SUFFIX = ".export-state.json"


@dataclass(frozen=True, slots=True)
class Destination:
    """`layout` is folder, file or stdout; `state` is None where none is kept."""

    layout: str
    path: Path
    form: Form
    state: Path | None

    def open(self, files: Files, state: ExportState, keeper: StateFile | None) -> Output:
        """Take up writing where the state says.

        Raises:
            StateProblem: what is there isn't what the state says.
            OSError: it can't be written.
        """
        head = self.form.head()
        if self.layout == "stdout" or keeper is None:
            self._end_torn_line()
            return StreamOutput(state, keeper.save if keeper else None, head)
        if self.layout == "file":
            return FileOutput(files, self.path, state, keeper.save, head)
        return FolderOutput(files, self.path, state, keeper.save, head, self.form.suffix)

    def _end_torn_line(self) -> None:
        if self.form.gzip:
            return  # any byte may be its last
        if self.form.format == "csv" and ends_torn():
            raise StateProblem(
                "stdout is a file that ends within a row, which a newline wouldn't end: cut that off first"
            )
        end_torn_line()

    def prepare(self, files: Files) -> bool:
        """Make the folders that are needed; gives whether there was none to write to.

        Raises:
            StateProblem: the path is taken by something else than a folder or file.
        """
        is_new = self.layout == "folder" and not self.path.exists()
        if self.layout == "folder":
            if not is_new and not self.path.is_dir():
                raise StateProblem(f"{self.path} isn't a folder")
            files.make_folder(self.path)
        elif self.layout == "file" and (self.path.is_symlink() or (self.path.exists() and not self.path.is_file())):
            raise StateProblem(f"{self.path} isn't a regular file")
        return is_new

    def discard(self, files: Files) -> None:
        """Remove what a new export has made that the service refused at once: another one may be asked for here."""
        if self.layout != "stdout":
            files.remove(self.path / OWNER if self.layout == "folder" else self.path)
        if self.state is not None:
            files.remove(self.state)

    def remove_empty(self, files: Files) -> None:
        """Remove the folder if there is nothing in it but our lock."""
        names = files.list(self.path)
        if set(names) <= {f"{FOLDER_STATE}.lock"}:
            for name in names:
                files.remove(self.path / name)
            files.remove_folder(self.path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the state, and the place as well, which an export with another state may want.

        Raises:
            StateProblem: another export holds one of them.
        """
        paths = [self.state, _default_state(self.layout, self.path)]
        with ExitStack() as locks:
            for path in sorted({_real(path): path for path in paths if path}.values()):
                locks.enter_context(held(path))
            yield

    def check_free(self, files: Files) -> None:
        """Nothing of others is overwritten: without a state the place must be empty.

        Raises:
            StateProblem: it isn't.
        """
        if self.layout == "file" and files.size(self.path) is not None:
            raise StateProblem(f"{self.path} is there already, and no state says that this export wrote it")
        if self.layout == "folder":
            own = {f"{FOLDER_STATE}.lock"}
            if self.state and _real(self.state.parent) == _real(self.path):
                own |= {self.state.name, self.state.name + ".lock", self.state.name + ".part"}
            if set(files.list(self.path)) - own:
                raise StateProblem(f"{self.path} isn't empty, and no state says that this export wrote it")


def destination(out: str, form: str | None, *, gzip: bool, receipts: bool, state: Path | None) -> Destination:
    """Read what was given.

    Raises:
        click.UsageError: it doesn't fit together.
    """
    name = out.rstrip("/").rpartition("/")[2]
    zipped = name.endswith(".gz")
    ending = name.removesuffix(".gz").rpartition(".")[2] if "." in name else ""
    if out == "-":
        layout = "stdout"
    elif out.endswith("/") or Path(out).is_dir() or "." not in name.lstrip("."):
        layout, ending, zipped = "folder", "", False
    elif ending in FORMATS:
        layout = "file"
    else:
        raise click.UsageError("a folder's name ends in / and a file's in .jsonl or .csv (and .gz)")
    if form and layout == "file" and ending != form:
        raise click.UsageError(f"the file's name says {ending}, --format says {form}")
    found = Form(form or (ending if layout == "file" else "") or "jsonl", gzip or zipped, receipts)
    _check(found, layout)
    return Destination(layout, Path(out), found, state or _default_state(layout, Path(out)))


def _check(form: Form, layout: str) -> None:
    if form.receipts and form.format != "jsonl":
        raise click.UsageError(f"--receipts is for jsonl; {form.format} has columns for them")
    if form.gzip and layout == "stdout" and sys.stdout.isatty():
        raise click.UsageError("gzip isn't for a terminal: give --out FILE, or a pipe")
    if form.format != "parquet":
        return
    if layout != "folder":
        raise click.UsageError("parquet goes into a folder (--out DIR/), a file for each chunk; readers take it as one")
    if form.gzip:
        raise click.UsageError("parquet is compressed already; leave --gzip out")


def _real(path: Path) -> str:
    return os.path.realpath(path)


def _default_state(layout: str, path: Path) -> Path | None:
    if layout == "stdout":
        return None
    return path / FOLDER_STATE if layout == "folder" else path.with_name(path.name + FILE_STATE_SUFFIX)
