"""What of an upload goes past the system's memory: of one that stays here all but its beginning."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.files import AppendFile, DiskAppendFile, DiskFiles
from server.storage.embedded import part_writer
from server.storage.embedded.recordings import EmbeddedRecordings
from server.storage.embedded.upload_folders import UploadFolders

KEY = "5" * 32


class _NotedFile(DiskAppendFile):
    def __init__(self, path: Path, direct: list[bytes]) -> None:
        super().__init__(path)
        self._direct = direct

    def append_direct(self, *chunks: bytes | memoryview) -> None:
        self._direct.append(b"".join(chunks))
        super().append_direct(*chunks)


class NotedFiles(DiskFiles):
    """Files that tell what is appended to them direct."""

    def __init__(self) -> None:
        self.direct: list[bytes] = []

    def open_append(self, path: Path) -> AppendFile:
        return _NotedFile(path, self.direct)


@pytest.mark.parametrize("storage", [EmbeddedRecordings, UploadFolders])
def test_past_memory_goes_what_is_behind_the_beginning_and_is_not_sent_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: type[UploadFolders]
) -> None:
    monkeypatch.setattr(part_writer, "_BEGINNING", 10)
    files = NotedFiles()
    folders = storage(files, tmp_path)
    place = folders.begin("some session", KEY, b"{}")
    writer = folders.open(place)
    for chunks in ((b"a" * 6, b"b" * 3), (b"c" * 4,), (b"d" * 5, b"e")):
        writer.append(*chunks)
    writer.close()
    assert folders.read_upload(place, 0, 30) == b"aaaaaabbbccccddddde"
    assert files.direct == ([b"ddddde"] if storage is EmbeddedRecordings else [])
