"""The service with another storage, whose recordings go to a store that throws them away; see multipart_sink.

`python -m benchmarks.sink_service DATA_DIR` serves, switches to that storage once a line of its standard input gives
the store's URL, says so with a line, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvloop
from botocore.credentials import Credentials

from server import process
from server.app import build
from server.config import load_config
from server.files import DiskFiles
from server.storage.aws.clients import ServiceClient
from server.storage.aws.place import Connection, Place
from server.storage.aws.recordings import S3Recordings
from server.storage.aws.session import AwsSettings, client_config, closed_session, make_client
from server.storage.embedded.storage import EmbeddedStorage
from server.storage.embedded.upload_folders import UploadFolders
from server.storage.spec import S3Location

SINK = "sink"
SENDERS = 4
SETTINGS = {"EXTAUDIT_GRPC_LISTEN": "127.0.0.1:0", "EXTAUDIT_HTTP_LISTEN": "127.0.0.1:0"}


class SinkStorage:
    """The storages beside the default one: events in a folder, recordings in the store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._threads = ThreadPoolExecutor(SENDERS)
        self.connection: Connection

    def ids(self) -> Sequence[str]:
        """None: nothing is to be settled, as the store is known only once the service runs."""
        return ()

    def open(self, storage_id: str) -> EmbeddedStorage:
        """Events stay in a folder."""
        return EmbeddedStorage(DiskFiles(), self._folder / storage_id / "events", storage_id)

    def finder(self, storage_id: str) -> None:
        """No engine but scan reads folders."""

    def problems(self) -> Sequence[str]:
        """None."""
        return ()

    def without_versions(self, storage_id: str) -> Sequence[str]:
        """None."""
        return ()

    def open_recordings(self, storage_id: str) -> S3Recordings:
        """As those of an External Audit Storage."""
        spool = UploadFolders(DiskFiles(), self._folder / storage_id / "uploads")
        return S3Recordings(storage_id, spool, lambda: self.connection, self._threads)

    def give_up(self) -> None:
        """Nothing is waited for."""

    def close(self) -> None:
        """Wait for what is being sent."""
        self._threads.shutdown()


def connection(url: str, ca: Path) -> Connection:
    """The way to the store."""
    settings = AwsSettings(endpoint=url, s3_path_style="always", ca=str(ca))
    client = make_client(
        closed_session(Credentials("key", "secret")), "s3", settings, client_config(settings, "us-west-2")
    )
    place = Place(S3Location("sink", "sessions"), "123456789012")
    return Connection(lambda: ServiceClient("s3", client), place)


async def serve(data_dir: Path) -> None:
    """Run until standard input ends."""
    storage = SinkStorage(data_dir / "storage")
    app = build(load_config({}, {"EXTAUDIT_DATA_DIR": str(data_dir), **SETTINGS}), others=lambda _: storage)
    await app.start()
    loop = asyncio.get_running_loop()
    while url := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        storage.connection = connection(url, data_dir / "identity" / "ca.crt")
        await app.switch.to(SINK)
        print(url, flush=True)
    await app.stop()


if __name__ == "__main__":
    process.set_up()
    uvloop.run(serve(Path(sys.argv[1])))
