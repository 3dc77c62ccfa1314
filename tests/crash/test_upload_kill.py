"""kill -9 in the middle of uploads: each goes on from what was acknowledged, and none of that is lost."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
import uuid
from pathlib import Path

import pytest
from extaudit_client import Client, ExtauditError

from tests.running_server import RunningServer, running_server

ROUNDS = int(os.environ.get("EXTAUDIT_CRASH_ROUNDS", "9")) // 3
SEED = int(os.environ.get("EXTAUDIT_CRASH_SEED", random.getrandbits(32)))
MIB = 1024 * 1024
LONGEST_LOAD = 0.5


class Sending:
    """One upload, through the lives of several servers."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.session_id = str(uuid.uuid4())
        self.upload_id = ""
        self.acknowledged = 0
        self._path = path
        path.write_bytes(data)

    def send(self, client: Client) -> None:
        """Send until all is durable or the server is gone."""
        try:
            with self._path.open("rb") as source:
                client.recordings.upload(source, self.session_id, self.upload_id, self._told)
        except ExtauditError as error:
            assert error.code in ("UNAVAILABLE", "CANCELLED"), error  # noqa: PT017 -- any other one is a fault

    def _told(self, upload_id: str, durable: int) -> None:
        # As long as this stream lasts the server can't take anything back.
        assert durable >= self.acknowledged
        self.upload_id, self.acknowledged = upload_id, durable


@pytest.mark.timeout(60 + 20 * ROUNDS)
def test_after_each_kill_an_upload_goes_on_from_what_was_acknowledged(tmp_path: Path) -> None:
    print(f"EXTAUDIT_CRASH_SEED={SEED}")
    dice = random.Random(SEED)
    data = [dice.randbytes(48 * MIB + number) for number in range(2)]
    uploads = [Sending(tmp_path / f"{number}.tar", each) for number, each in enumerate(data)]
    for _ in range(ROUNDS):
        with RunningServer(tmp_path).until_killed() as server, server.client() as client:
            for upload in uploads:
                if upload.upload_id:
                    assert client.recordings.get_upload(upload.upload_id).durable_offset >= upload.acknowledged
            threads = [threading.Thread(target=upload.send, args=(client,)) for upload in uploads]
            for thread in threads:
                thread.start()
            time.sleep(dice.uniform(0, LONGEST_LOAD))  # the random moment
            server.kill()
            for thread in threads:
                thread.join()
    with running_server(tmp_path) as server, server.client() as client:
        for upload, each in zip(uploads, data, strict=True):
            upload.send(client)
            sha256 = hashlib.sha256(each).hexdigest()
            client.recordings.complete(upload.upload_id, size=len(each), sha256=sha256)
            assert b"".join(client.recordings.read(upload.session_id)) == each
