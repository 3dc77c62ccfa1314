"""kill -9 in the middle of uploads: each goes on from what was acknowledged, and none of that is lost."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import pytest

from tests.crash.uploading import MIB, Sending
from tests.running_server import RunningServer, running_server

ROUNDS = int(os.environ.get("EXTAUDIT_CRASH_ROUNDS", "9")) // 3
SEED = int(os.environ.get("EXTAUDIT_CRASH_SEED", random.getrandbits(32)))
LONGEST_LOAD = 0.5


@pytest.mark.timeout(300 + 20 * ROUNDS)
def test_after_each_kill_an_upload_goes_on_from_what_was_acknowledged(tmp_path: Path) -> None:
    print(f"EXTAUDIT_CRASH_SEED={SEED}")
    dice = random.Random(SEED)
    uploads = [Sending(dice.randbytes(48 * MIB + number)) for number in range(2)]
    for _ in range(ROUNDS):
        with RunningServer(tmp_path).until_killed() as server, server.client() as client:
            for upload in uploads:
                upload.check_durable(client)
            threads = [threading.Thread(target=upload.send, args=(client,)) for upload in uploads]
            for thread in threads:
                thread.start()
            time.sleep(dice.uniform(0, LONGEST_LOAD))  # the random moment
            server.kill()
            for thread in threads:
                thread.join()
    with running_server(tmp_path) as server, server.client() as client:
        for upload in uploads:
            assert upload.send(client)
            assert upload.complete(client)
            assert b"".join(client.recordings.read(upload.session_id)) == upload.data
