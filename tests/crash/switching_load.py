"""Load on a service that switches, and where it was told that each event is."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from extaudit_client import Client, ExtauditError, Query

from tests.polling import until

WRITERS = 3
TYPE = "switched"
Place = tuple[str, str, int]
"""Storage, log and sequence."""


class Emitting:
    """Writers that emit until the service ends, or the block does, and what they were told."""

    def __init__(self, life: int, pause: float = 0.0) -> None:
        """Each writer rests for `pause` seconds between two messages."""
        self.told: dict[str, Place] = {}
        """By uid."""
        self._life = life
        self._pause = pause
        self._ended = threading.Event()

    def emit(self, client: Client, writer: int) -> None:
        dice, number = random.Random(writer), 0
        try:
            while not self._ended.wait(self._pause):
                uids = [f"{self._life}.{writer}.{number + index}" for index in range(dice.randint(1, 40))]
                number += len(uids)
                for answer in client.emit_stream([event(uid) for uid in uids], batch_size=len(uids)):
                    (span,) = answer.sequences
                    for uid, sequence in zip(uids, range(span[0], span[1] + 1), strict=True):
                        self.told[uid] = (answer.storage, answer.log_id, sequence)
        except ExtauditError as error:
            if error.code not in ("UNAVAILABLE", "CANCELLED"):
                raise

    @contextmanager
    def running(self, client: Client) -> Iterator[None]:
        """Emit through the block, which may end the service."""
        with ThreadPoolExecutor(WRITERS) as threads:
            running = [threads.submit(self.emit, client, writer) for writer in range(WRITERS)]
            try:
                yield
            finally:
                self._ended.set()
        for writer in running:
            writer.result()

    def go_on(self) -> None:
        """Let some more be acknowledged."""
        enough = len(self.told) + 20
        until(lambda: len(self.told) > enough)

    def emit_again(self, client: Client) -> None:
        """A retry names the storage, log and sequence of the first acknowledgement."""
        uids = list(self.told)
        answers = client.emit_stream([event(uid) for uid in uids], batch_size=500)
        again = {item.index: (item.storage, item.log_id, item.sequence) for a in answers for item in a.repeated}
        assert {uids[index]: place for index, place in again.items()} == self.told


def event(uid: str) -> bytes:
    """Those of even and of odd numbers are of two dates, so that a batch has two objects."""
    return json.dumps({"event": TYPE, "uid": uid, "time": f"2026-11-0{1 + int(uid[-1]) % 2}T00:00:00Z"}).encode()


def places(client: Client, storage: str) -> dict[str, set[Place]]:
    """Where a search of a storage finds each event."""
    found: dict[str, set[Place]] = {}
    for row in client.search_all(Query(types=(TYPE,), storage=storage, page_size=1000)):
        found[row.uid] = {(receipt.storage, receipt.log_id, receipt.sequence) for receipt in row.receipts}
    return found
