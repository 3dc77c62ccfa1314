"""Opening regular files: whatever else has a file's name is refused at once, and never waited for."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def open_regular(path: str | Path, flags: int) -> int:
    """Open a file, made (0600) where the flags say so; as the `opener` of `open` as well.

    Opening a FIFO would wait until somebody has its other end open, and reading a device may never end.

    Raises:
        OSError: as the operating system gives it, or it is something else than a file, which `strerror` says.
    """
    try:
        opened = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a FIFO that nobody reads
            check_regular(path)
        raise
    try:
        _refuse_other(os.fstat(opened).st_mode, path)
    except OSError:
        os.close(opened)
        raise
    return opened


def read_regular(path: str | Path) -> bytes:
    """The whole content of a file. OSError as `open_regular`."""
    with open(path, "rb", opener=open_regular) as file:
        return file.read()


def check_regular(path: str | Path) -> None:
    """Raise what `open_regular` does, and open nothing: to close a file lets go of all locks of this process on it."""
    _refuse_other(os.stat(path).st_mode, path)


def what_else(mode: int) -> str:
    """What a thing of this mode is if it isn't a regular file, with its article; "" if it is one."""
    if stat.S_ISREG(mode):
        return ""
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"))
    return next((name for is_kind, name in kinds if is_kind(mode)), "a device")


def in_place_of(path: str | Path) -> str:
    """That something else is where a file belongs, as a sentence's beginning; "" if a file or nothing is there.

    A link is something else too: those of stored files aren't followed.
    """
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return ""
    found = "a link" if stat.S_ISLNK(mode) else what_else(mode)
    return f"{found} is in its place" if found else ""


def _refuse_other(mode: int, path: str | Path) -> None:
    if found := what_else(mode):
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.ENXIO
        raise OSError(number, f"is {found}, not a file", str(path))
