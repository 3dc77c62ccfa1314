"""A server that knows two more storages, folders beside its data, and switches as the lines on its stdin say.

Each line names a storage; it is said again on stdout once the switch is made.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from server.app import build
from server.config import load_config
from server.files import DiskFiles
from server.observability import logs
from server.storage.embedded.recordings import EmbeddedRecordings
from server.storage.embedded.storage import EmbeddedStorage

OTHERS = ("east", "west")
SETTINGS = {
    "EXTAUDIT_GRPC_LISTEN": "127.0.0.1:0",
    "EXTAUDIT_HTTP_LISTEN": "127.0.0.1:0",
    "EXTAUDIT_JOURNAL_CUT_EVENTS": "200",
    "EXTAUDIT_JOURNAL_DISK_FLOOR_BYTES": "1048576",
}


class Folders:
    """Storages in folders of the embedded storage, which the scan engine may read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ids(self) -> Sequence[str]:
        return OTHERS

    def open(self, storage_id: str) -> EmbeddedStorage:
        return EmbeddedStorage(DiskFiles(), self._folder / storage_id / "events", storage_id)

    def finder(self, storage_id: str) -> None:
        """No engine but scan reads folders."""

    def problems(self) -> Sequence[str]:
        return ()

    def open_recordings(self, storage_id: str) -> EmbeddedRecordings:
        return EmbeddedRecordings(DiskFiles(), self._folder / storage_id / "recordings", storage_id)

    def without_versions(self, storage_id: str) -> Sequence[str]:
        return ()

    def give_up(self) -> None:
        """Nothing is waited for."""

    def close(self) -> None:
        """Nothing is open."""


async def serve(data_dir: Path) -> None:
    config = load_config({}, {"EXTAUDIT_DATA_DIR": str(data_dir), **SETTINGS})
    app = build(config, others=lambda _: Folders(data_dir / "storage"))
    await app.start()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        await app.switch.to(line.strip())
        print(line.strip(), flush=True)
    await app.stop()


if __name__ == "__main__":
    logs.configure("info", "json")
    uvloop.run(serve(Path(sys.argv[1])))
