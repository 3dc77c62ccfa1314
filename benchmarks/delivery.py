"""Delivery of batches to S3 beside its floor, in the same run; `python -m benchmarks.delivery` prints JSON lines.

Both go to a sink over TLS in a process of its own, which throws away what it is sent. Ours is the delivery of the
service: batches of 20,000 events that are spooled, some at once, each with its objects, its record, catalogue, known
uids, the trim of the journal and the removal of what was spooled. The floor is bare boto3, with as many threads, that
puts the same bytes from the same number of files. Rounds alternate, and the medians are compared. The second line has
the encoding of the batches in it as well, which no put has.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from benchmarks.generate_events import START_MS, events
from benchmarks.null_sink import null_sink
from server.audit_log.deliveries import Deliveries
from server.observability.metrics import Metrics
from server.storage.aws.clients import ServiceClient
from server.storage.aws.event_storage import S3EventStorage
from server.storage.aws.object_cache import ObjectCache
from server.storage.aws.place import Connection, Place
from server.storage.aws.session import AwsSettings, client_config, closed_session, make_client
from server.storage.ports import EventStorage
from server.storage.spec import S3Location
from tests.certificates_builder import CaShape
from tests.contract.search_rig import ALICE, SearchRig, duck_engine

ROUNDS = 3
BATCHES = 8
EVENTS = 20_000
PER_MESSAGE = 1_000
AT_ONCE = 4
MIB = 1024 * 1024
TARGET = 0.7
STORAGE = "aws-bench"


class Keys:
    """Credentials that sign what the sink doesn't look at."""

    def get_frozen_credentials(self) -> Any:
        """As botocore wants them."""
        from botocore.credentials import ReadOnlyCredentials

        return ReadOnlyCredentials("AKIDEXAMPLE", "secret", "token")

    def get_deferred_property(self, name: str) -> Any:
        """Nothing is known of them."""
        return lambda: None


@contextmanager
def our_log(folder: Path, endpoint: str, ca: str) -> Iterator[SearchRig]:
    """A log whose events are on their way to the sink, by the client of the service."""
    settings = AwsSettings(endpoint=endpoint, ca=ca, s3_path_style="always", attempts=1)
    client = make_client(closed_session(Keys()), "s3", settings, client_config(settings, "us-west-2"))
    way = Connection(lambda: ServiceClient("s3", client), Place(S3Location("events", "audit"), "123456789012"))

    def opened(where: Path, name: str) -> EventStorage:
        return S3EventStorage(name, lambda: way, ObjectCache(where / "cache", 1 << 34, 2))

    rig = SearchRig(folder, duck_engine(folder), others=(STORAGE,), open_other=opened)
    yield rig
    rig.close()
    client.close()


def fill(rig: SearchRig, messages: Sequence[Sequence[bytes]]) -> None:
    """Commit events, one batch after the other, and cut each."""
    rig.log.writer.switch(STORAGE)
    for number, message in enumerate(messages, 1):
        rig.emit(*message, by=ALICE)
        if number % (EVENTS // PER_MESSAGE) == 0:
            rig.cut()


def spool(rig: SearchRig) -> None:
    """Encode what is cut, as the first attempt of a delivery does."""
    for section in rig.log.tail.to_deliver(STORAGE, BATCHES):
        assert section.cut is not None
        rig.log.spool.encode(section, section.cut)


def sent_bytes(rig: SearchRig) -> list[bytes]:
    """What is spooled, file by file."""
    return [path.read_bytes() for path in sorted((rig.folder / "spool").glob("*/*")) if path.stat().st_size]


async def deliver(rig: SearchRig) -> float:
    """Seconds until everything that is cut is delivered."""
    with ThreadPoolExecutor(AT_ONCE + 1) as threads:
        delivery = rig.delivery_to(STORAGE)
        deliveries = Deliveries(delivery, threads, Metrics([]).deliveries, STORAGE, lambda: False, at_once=AT_ONCE)
        started = time.perf_counter()
        running = asyncio.create_task(deliveries.run())
        while delivery.waiting(1):
            assert not deliveries.last_error, deliveries.last_error
            await asyncio.sleep(0.002)
        seconds = time.perf_counter() - started
        deliveries.stop()
        await running
    return seconds


def put_all(bodies: Sequence[bytes], endpoint: str, ca: str) -> float:
    """Seconds of bare boto3 putting as many objects of the same bytes on as many threads."""
    client = boto3.client(
        "s3",
        region_name="us-west-2",
        endpoint_url=endpoint,
        verify=ca,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(s3={"addressing_style": "path"}, max_pool_connections=AT_ONCE),
    )
    with ThreadPoolExecutor(AT_ONCE) as threads:
        started = time.perf_counter()
        done = [
            threads.submit(client.put_object, Bucket="events", Key=f"{number}", Body=body)
            for number, body in enumerate(bodies)
        ]
        for each in done:
            each.result()
        seconds = time.perf_counter() - started
    client.close()
    return seconds


def measure(folder: Path, messages: Sequence[Sequence[bytes]]) -> None:
    """Rounds of both, and the lines."""
    authority = CaShape().make()
    certificate, key = authority.server().write(folder, "sink")
    ca = folder / "ca.pem"
    ca.write_bytes(authority.pem)
    spooled, encoded, floor = list[float](), list[float](), list[float]()
    size = 0
    with null_sink(certificate, key) as port:
        endpoint = f"https://127.0.0.1:{port}"
        for number in range(ROUNDS + 1):  # the first one warms up
            for is_spooled, found in ((True, spooled), (False, encoded)):
                with our_log(folder / f"{number}-{is_spooled}", endpoint, str(ca)) as rig:
                    fill(rig, messages)
                    if is_spooled:
                        spool(rig)
                        bodies = sent_bytes(rig)
                        size = sum(map(len, bodies))
                    gc.collect()
                    found.append(size / asyncio.run(deliver(rig)))
            floor.append(size / put_all(bodies, endpoint, str(ca)))
    ours, whole, bare = (statistics.median(each[1:]) for each in (spooled, encoded, floor))
    line = {
        "name": "delivery of spooled batches to S3",
        "ours_mib_per_s": round(ours / MIB, 1),
        "bare_boto3_mib_per_s": round(bare / MIB, 1),
        "ratio": round(ours / bare, 2),
        "target": f">= {TARGET} of bare boto3",
        "threads": AT_ONCE,
        "batches": BATCHES,
        "met": ours >= TARGET * bare,
    }
    print(json.dumps(line))
    rest = {
        "name": "delivery of events to S3, encoding included",
        "ours_mib_per_s": round(whole / MIB, 1),
        "bare_boto3_mib_per_s": round(bare / MIB, 1),
        "events_per_second": round(BATCHES * EVENTS / (size / whole)),
        "target": "none; for those who size a machine",
    }
    print(json.dumps(rest))


def main() -> None:
    """Measure, and print."""
    rows = [row.data for row in events(BATCHES * EVENTS, start_ms=START_MS, days=1)]
    messages = [rows[start : start + PER_MESSAGE] for start in range(0, len(rows), PER_MESSAGE)]
    del rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure(folder, messages)


if __name__ == "__main__":
    main()
