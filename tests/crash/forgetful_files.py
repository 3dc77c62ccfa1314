"""A file layer that forgets what was not synced, and that can stop or fail at any single operation.

`now` is what the running process sees; `durable` is what a power loss would leave: file contents as of their last sync,
and folder entries as of the folder's last sync. Nothing is written back by itself, so a missing sync always shows.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from types import FrameType
from typing import NamedTuple


class Stopped(BaseException):
    """The process ends here, as by kill -9 or power loss. Not an Exception, so that nothing in the code catches it."""


@dataclass(slots=True)
class _Content:
    now: bytes = b""
    durable: bytes = b""
    number: int = field(default_factory=count(1).__next__)
    dropped: tuple[int, int] = (0, 0)
    """Start and end of what a failed sync left clean in memory and not on the disk: later syncs pass it over."""


@dataclass(slots=True)
class _Folder:
    number: int = field(default_factory=count(1).__next__, kw_only=True)
    now: dict[str, object] = field(default_factory=dict)
    durable: dict[str, object] = field(default_factory=dict)


class Operation(NamedTuple):
    """One operation on files."""

    number: int
    """From 1."""
    name: str
    path: Path
    call_site: str
    """The functions of the service that led to it, innermost first."""

    @property
    def is_sync(self) -> bool:
        """Whether it makes something durable."""
        return self.name.startswith("sync")

    def __str__(self) -> str:
        return f"{self.name} {self.path.name} ({self.call_site})"


class _FileRead:
    """A file as it was when it was opened."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read_into(self, memory: memoryview, offset: int) -> int:
        found = self._data[offset : offset + len(memory)]
        memory[: len(found)] = found
        return len(found)

    def close(self) -> None:
        pass


class ForgetfulFiles:
    """Files in memory. `before` is called with each operation's number and name, and may raise."""

    def __init__(self, before: Callable[[int, str], None] = lambda number, name: None) -> None:
        self._root = _Folder()
        self.before = before
        self.operations: list[Operation] = []
        self.open_files = 0
        self.leaves_out: Callable[[Operation], bool] = lambda operation: False
        """Syncs for which this holds do nothing, as if the code had left them out."""

    # --- what the code calls

    def open_append(self, path: Path) -> _OpenFile:
        self._count("open", path)
        entries = self._folder(path.parent).now
        content = entries.setdefault(path.name, _Content())
        assert isinstance(content, _Content)
        self.open_files += 1
        return _OpenFile(self, path, content)

    def read(self, path: Path) -> bytes:
        found = self._folder(path.parent).now.get(path.name)
        if not isinstance(found, _Content):
            raise FileNotFoundError(path.name)
        return found.now

    def read_range(self, path: Path, offset: int, size: int) -> bytes:
        return self.read(path)[offset : offset + size]

    def open_read(self, path: Path) -> _FileRead:
        return _FileRead(self.read(path))

    def same(self, one: Path, other: Path) -> bool:
        found = [self._folder(path.parent).now.get(path.name) for path in (one, other)]
        return found[0] is not None and found[0] is found[1]

    def number(self, path: Path) -> int:
        found = self._folder(path.parent).now[path.name]
        assert isinstance(found, _Content | _Folder)
        return found.number

    def size(self, path: Path | str) -> int | None:
        try:
            return len(self.read(Path(path)))
        except FileNotFoundError:
            return None

    def list(self, folder: Path) -> list[str]:
        try:
            return sorted(self._folder(folder).now)
        except FileNotFoundError:
            return []

    def make_folder(self, folder: Path) -> None:
        """As DiskFiles does it: the entry of a new folder synced, and that of the first one that was there."""
        if not folder.parts:
            return
        name = "sync folder again"
        if folder.name not in self.list(folder.parent):
            self.make_folder(folder.parent)
            self._count("mkdir", folder)
            self._folder(folder.parent).now[folder.name] = _Folder()
            name = "sync folder"
        self._sync(self._folder(folder.parent), self._count(name, folder.parent))

    def rename(self, source: Path, target: Path) -> None:
        self._count("rename", target)
        self._folder(target.parent).now[target.name] = self._folder(source.parent).now.pop(source.name)

    def link(self, source: Path, target: Path) -> None:
        self._count("link", target)
        entries = self._folder(target.parent).now
        if target.name in entries:
            raise FileExistsError(errno.EEXIST, "exists")
        entries[target.name] = self._folder(source.parent).now[source.name]

    def remove(self, path: Path) -> None:
        self._count("remove", path)
        del self._folder(path.parent).now[path.name]

    def remove_folder(self, folder: Path) -> None:
        self._count("remove folder", folder)
        assert not self._folder(folder).now
        del self._folder(folder.parent).now[folder.name]

    def sync_folder(self, folder: Path) -> None:
        operation = self._count("sync folder", folder)
        self._sync(self._folder(folder), operation)

    # --- what the tests call

    def crash(self, *, power_loss: bool) -> None:
        """The process is gone; with power loss, so is everything that was not synced."""
        if power_loss:
            self._root = _durable_copy(self._root)
        self.before = lambda number, name: None
        self.leaves_out = lambda operation: False

    def copy(self, *, power_loss: bool = False) -> ForgetfulFiles:
        """Files of their own, as they would be found if the process ended now."""
        files = ForgetfulFiles()
        files._root = _durable_copy(self._root) if power_loss else _copy(self._root, {})
        return files

    def restored(self) -> ForgetfulFiles:
        """What a backup that is made now is restored to."""
        files = ForgetfulFiles()
        files._root = _copy(self._root, {}, iter(lambda: _Content().number, 0))
        return files

    def take(self, folder: Path, other: ForgetfulFiles) -> None:
        """Have this folder as `other` has it."""
        self._folder(folder.parent).now[folder.name] = other._folder(folder)
        self._folder(folder.parent).durable[folder.name] = other._folder(folder)

    def digest(self) -> int:
        """Equal for what a running process sees as equal."""
        return hash(_frozen(self._root))

    def put(self, path: Path, data: bytes) -> None:
        """Change a file's bytes from outside, durably, as a bad disk or a person would."""
        found = self._folder(path.parent).now[path.name]
        assert isinstance(found, _Content)
        found.now = found.durable = data

    def _count(self, name: str, path: Path) -> Operation:
        operation = Operation(len(self.operations) + 1, name, path, _call_site(sys._getframe(2)))
        self.operations.append(operation)
        self.before(operation.number, name)
        return operation

    def _sync(self, folder: _Folder, operation: Operation) -> None:
        if not self.leaves_out(operation):
            folder.durable = dict(folder.now)

    def _folder(self, folder: Path) -> _Folder:
        at = self._root
        for part in folder.parts:
            child = at.now.get(part)
            if not isinstance(child, _Folder):
                raise FileNotFoundError(str(folder))
            at = child
        return at


class _OpenFile:
    def __init__(self, files: ForgetfulFiles, path: Path, content: _Content) -> None:
        self._files = files
        self._path = path
        self._content = content

    @property
    def size(self) -> int:
        return len(self._content.now)

    def append(self, data: bytes | memoryview) -> None:
        data = bytes(data)
        # Half of it may be all that a stop leaves.
        self._content.now += data[: len(data) // 2]
        self._files._count("append", self._path)
        self._content.now += data[len(data) // 2 :]

    def append_direct(self, *chunks: bytes | memoryview) -> None:
        for chunk in chunks:
            self.append(chunk)

    def sync(self) -> None:
        content = self._content
        try:
            operation = self._files._count("sync", self._path)
        except OSError:
            content.dropped = len(content.durable), len(content.now)
            raise
        if not self._files.leaves_out(operation):
            start, end = content.dropped
            content.durable = content.now[:start] + b"\0" * (end - start) + content.now[end:]

    def release(self, end: int) -> None:
        """Nothing that a stop could be before."""

    def truncate(self, size: int) -> None:
        self._files._count("truncate", self._path)
        self._content.now = self._content.now[:size]
        start, end = self._content.dropped
        self._content.dropped = (min(start, size), min(end, size))

    def close(self) -> None:
        self._files.open_files -= 1


def _durable_copy(folder: _Folder) -> _Folder:
    return _keep_durable(_copy(folder, {}))


def _keep_durable(folder: _Folder) -> _Folder:
    folder.now = dict(folder.durable)
    for item in folder.now.values():
        if isinstance(item, _Folder):
            _keep_durable(item)
        elif isinstance(item, _Content):
            item.now = item.durable
    return folder


def _copy(folder: _Folder, copies: dict[int, object], numbers: Iterator[int] | None = None) -> _Folder:
    """With what has several names copied once; with new numbers, as another disk gives them, where there are any."""

    def copy(item: object) -> object:
        if id(item) not in copies:
            if isinstance(item, _Content):
                copies[id(item)] = _Content(item.now, item.durable, next(numbers) if numbers else item.number)
            elif isinstance(item, _Folder):
                copies[id(item)] = _copy(item, copies, numbers)
        return copies[id(item)]

    now = {name: copy(item) for name, item in folder.now.items()}
    durable = {name: copy(item) for name, item in folder.durable.items()}
    return _Folder(now, durable, number=next(numbers) if numbers else folder.number)


def _frozen(item: object) -> object:
    if isinstance(item, _Content):
        return item.now
    assert isinstance(item, _Folder)
    return tuple((name, _frozen(child)) for name, child in sorted(item.now.items()))


def _call_site(frame: FrameType | None) -> str:
    """The functions of the service, or of the client's spool, that lead to an operation, innermost first."""
    names: list[str] = []
    while frame is not None and len(names) < 3:
        module = frame.f_globals["__name__"]
        if module == "_pytest.python":
            break  # what is behind the test is not looked at: it is most of the stack
        if _is_ours(module):
            names.append(frame.f_code.co_name)
        frame = frame.f_back
    return " < ".join(names)


@cache
def _is_ours(module: str) -> bool:
    return module.startswith(("server.", "extaudit_client.spool."))
