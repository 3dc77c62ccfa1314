"""Files that are appended to past the system's memory: the same bytes, whatever the chunks are cut like."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import threading
from pathlib import Path

import pytest

from server import files
from server.files import DiskAppendFile

BLOCK = files._BLOCK


class Writes:
    """Sees the direct writes among all; as many of them succeed as `succeed`, and then they fail, or write a block."""

    def __init__(self) -> None:
        self.direct: list[tuple[int, int]] = []
        """Offset and size of each."""
        self.succeed = 1_000
        self.fault = 0
        self._write = os.write

    def write(self, fd: int, data: memoryview) -> int:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
            self.direct.append((os.fstat(fd).st_size, len(data)))
            if len(self.direct) > self.succeed:
                if self.fault:
                    raise OSError(self.fault, "no")
                data = data[:BLOCK]
        return self._write(fd, data)


@pytest.fixture
def writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Writes:
    """Direct writes begin at two blocks, and have at most four."""
    try:
        os.close(os.open(tmp_path / "tried", os.O_CREAT | os.O_WRONLY | os.O_DIRECT))
    except OSError:
        pytest.skip("this file system takes no direct writes, as tmpfs of older kernels")
    monkeypatch.setattr(files, "_LEAST_DIRECT", 2 * BLOCK)
    monkeypatch.setattr(files, "_STAGE_BYTES", 4 * BLOCK)
    monkeypatch.setattr(files, "_stages", threading.local())
    writes = Writes()
    monkeypatch.setattr(os, "write", writes.write)
    return writes


def test_a_file_has_the_chunks_bytes_and_direct_writes_are_of_whole_blocks(tmp_path: Path, writes: Writes) -> None:
    dice = random.Random(7)
    file, expected = DiskAppendFile(tmp_path / "data"), bytearray()
    for _ in range(60):
        sizes = [dice.choice([0, 1, BLOCK, dice.randrange(9 * BLOCK)]) for _ in range(dice.randrange(4))]
        chunks = [dice.randbytes(size) for size in sizes]
        file.append_direct(*map(memoryview, chunks))
        expected += b"".join(chunks)
        assert file.size == len(expected)
    file.sync()
    file.close()
    assert (tmp_path / "data").read_bytes() == expected
    assert len(writes.direct) > 20
    assert all(at % BLOCK == 0 == size % BLOCK for at, size in writes.direct)
    assert max(size for _, size in writes.direct) == 4 * BLOCK


@pytest.mark.parametrize("fault", [0, errno.EINVAL, errno.EIO, errno.ENOSPC])
def test_what_a_direct_write_leaves_is_written_as_usual(tmp_path: Path, writes: Writes, fault: int) -> None:
    writes.fault, writes.succeed = fault, 1
    file, data = DiskAppendFile(tmp_path / "data"), random.Random(8).randbytes(10 * BLOCK + 7)
    file.append_direct(data[:100], data[100:])
    assert (tmp_path / "data").read_bytes() == data
    tried = len(writes.direct)
    file.append_direct(data)
    assert (len(writes.direct) > tried) == (not fault)
    file.close()
    assert (tmp_path / "data").read_bytes() == data + data
