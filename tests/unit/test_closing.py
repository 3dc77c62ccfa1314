"""Descriptors: one is closed once, also by two that close its file at the same time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from extaudit_client.spool.files import DiskFiles as ClientFiles

from server.data_directory import DirectoryLock
from server.files import DiskAppendFile, DiskReadFile


@pytest.mark.parametrize(
    ("open_file", "close"),
    [
        (DiskAppendFile, DiskAppendFile.close),
        (DiskReadFile, DiskReadFile.close),
        (DirectoryLock, DirectoryLock.release),
        (lambda path: ClientFiles().open_append(path), lambda file: file.close()),
    ],
    ids=["appended", "read", "lock", "client"],
)
def test_a_descriptor_is_closed_once(
    open_file: Callable[[Path], object],
    close: Callable[[object], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another thread may come while it is closed, and by then its number may be another file's."""
    path, closed, os_close = tmp_path / "file", list[int](), os.close
    path.touch()
    file = open_file(path)

    def closing(fd: int) -> None:
        closed.append(fd)
        if len(closed) == 1:
            os_close(fd)
            close(file)  # as the other thread does

    with monkeypatch.context() as patch:
        patch.setattr(os, "close", closing)
        close(file)
        close(file)
    assert len(closed) == 1
