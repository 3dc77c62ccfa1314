"""Exporting 400,000 events in chunks of 20,000, several at a time, through mTLS with their traces.

Beside it, in the same run: a bare pyarrow read of the same objects, and a bare mTLS stream of the same messages from a
process that has them in memory; their times are added. `python -m benchmarks.export` prints a JSON line; times are
medians in s, warm, of rounds that alternate.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pyarrow.parquet as pq
import uvloop
from extaudit.v1 import event_export_pb2 as pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub

from benchmarks.beside import server_of
from benchmarks.emit import our_server, settle
from benchmarks.generate_events import events
from server.audit_log.batch_codec import BatchRow, columns_of, encode
from server.audit_log.batch_record import BatchObject, BatchRecord
from server.audit_log.cuts import Cut
from server.audit_log.timestamps import utc_date

EVENTS = 400_000
PER_BATCH = 20_000
EMITTERS = 40
PER_RUN = 100
STREAMS = 4
ROUNDS = 7
LOG_ID = "0123456789abcdef0123"
METHOD = "/extaudit.v1.AuditLogService/ExportEvents"
Messages = dict[str, list[bytes]]


def write_storage(folder: Path) -> list[Path]:
    """Batches as the service would have delivered them, with their records; gives the objects."""
    found, rows = [], list[BatchRow]()
    for row in events(EVENTS, days=2):
        if rows and (len(rows) == PER_BATCH or utc_date(row.time_ms) != utc_date(rows[0].time_ms)):
            found.append(_write_batch(folder, rows))
            rows = []
        rows.append(row._replace(sequence=row.sequence + 1))
    return [*found, _write_batch(folder, rows)]


def _write_batch(folder: Path, rows: Sequence[BatchRow]) -> Path:
    cut = Cut(LOG_ID, rows[0].sequence, rows[-1].sequence, "default")
    name = f"{utc_date(rows[0].time_ms)}/{cut.name}.parquet"
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    done = encode(columns_of(rows), path, log_id=LOG_ID, first=cut.first, last=cut.last)
    stored = BatchObject(name, done.rows, done.bytes, done.sha256, done.first_ms, done.last_ms, done.types)
    emitters = [["component", f"node-{number}", "anchor", "5e", "ipv4:192.0.2.7:50514"] for number in range(EMITTERS)]
    runs = [[row.sequence, number % EMITTERS, row.time_ms] for number, row in enumerate(rows[::PER_RUN])]
    record = BatchRecord(
        LOG_ID, cut.first, cut.last, "default", "", (stored,), (), {"emitters": emitters, "runs": runs}
    )
    target = folder / "_batches" / cut.record_name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(record.encode())
    return path


@contextlib.contextmanager
def channels(address: str, ready: dict[str, str]) -> Iterator[list[grpc.Channel]]:
    """A connection for each stream."""
    credentials = grpc.ssl_channel_credentials(*(Path(ready[name]).read_bytes() for name in ("ca", "key", "cert")))
    options = [("grpc.use_local_subchannel_pool", 1)]
    opened = [grpc.secure_channel(address, credentials, options) for _ in range(STREAMS)]
    yield opened
    for channel in opened:
        channel.close()


def read_all(opened: Sequence[grpc.Channel], chunks: Sequence[str]) -> tuple[float, Messages]:
    """Seconds that all chunks take, some at a time, and their messages as they come."""
    waiting, found = list(reversed(chunks)), Messages()

    def read(channel: grpc.Channel) -> None:
        call: Any = channel.unary_stream(METHOD)
        with contextlib.suppress(IndexError):
            while True:
                chunk = waiting.pop()
                found[chunk] = list(call(pb.ExportEventsRequest(chunk_id=chunk).SerializeToString()))

    started = time.perf_counter()
    with ThreadPoolExecutor(len(opened)) as threads:
        for done in [threads.submit(read, channel) for channel in opened]:
            done.result()
    return time.perf_counter() - started, found


def read_floor(paths: Sequence[Path]) -> float:
    """Seconds of a bare read of all objects."""
    started = time.perf_counter()
    rows = sum(pq.read_table(path, partitioning=None).num_rows for path in paths)
    assert rows == EVENTS
    return time.perf_counter() - started


@contextlib.contextmanager
def bare_server(identity: Path, messages: Path) -> Iterator[int]:
    """A process that streams messages as they are; gives the port."""
    with server_of("export", identity, messages) as port:
        yield port


async def _serve(identity: Path, messages: Messages) -> None:
    async def stream(request: bytes, _context: object) -> AsyncIterator[bytes]:
        for message in messages[pb.ExportEventsRequest.FromString(request).chunk_id]:
            yield message

    server = grpc.aio.server()
    _, service, name = METHOD.split("/")
    handlers = {name: grpc.unary_stream_rpc_method_handler(stream)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    key, certificate, cas = ((identity / each).read_bytes() for each in ("server.key", "server.crt", "user-ca.crt"))
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)], cas, True))
    await server.start()
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


def measure(folder: Path, paths: Sequence[Path], ready: dict[str, str]) -> dict[str, object]:
    """The figure."""
    # To the service it is a storage that its state has lost: all of it is read for the index of sessions.
    settle(ready)
    with channels(ready["grpc"], ready) as ours:
        answer = AuditLogServiceStub(ours[0]).ListEventChunks(pb.ListEventChunksRequest())
        chunks = [chunk.id for chunk in answer.chunks if chunk.log_id == LOG_ID]
        _, found = read_all(ours, chunks)
        kept = folder / "messages"
        kept.write_bytes(pickle.dumps(found))
        size = sum(len(message) for messages in found.values() for message in messages)
        given = sum(
            len(pb.ExportEventsResponse.FromString(message).columns.sequences)
            for messages in found.values()
            for message in messages
        )
        assert given == EVENTS
        with (
            bare_server(Path(ready["ca"]).parent, kept) as port,
            channels(f"localhost:{port}", ready) as bare,
        ):
            read_all(bare, chunks)
            rounds = []
            for _ in range(ROUNDS):
                settle(ready)
                rounds.append((read_all(ours, chunks)[0], read_floor(paths), read_all(bare, chunks)[0]))
    ours_s, read_s, stream_s = (statistics.median(column) for column in zip(*rounds, strict=True))
    return {
        "name": f"export of {EVENTS} events, {STREAMS} chunks at a time",
        "mib": round(size / 2**20),
        "ours_s": round(ours_s, 3),
        "floor_read_and_stream_s": round(read_s + stream_s, 3),
        "events_per_s": round(EVENTS / ours_s),
        "parquet_read_s": round(read_s, 3),
        "bare_stream_s": round(stream_s, 3),
        "share_of_floor_speed": round((read_s + stream_s) / ours_s, 2),
        "target": ">= 0.5 of the speed of read + stream",
        "met": ours_s <= 2 * (read_s + stream_s),
    }


def main() -> None:
    """Print the figure."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        os.umask(0o077)
        paths = write_storage(folder / "data" / "storage" / "events")
        with our_server(folder) as ready:
            print(json.dumps(measure(folder, paths, ready)))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        uvloop.run(_serve(Path(sys.argv[1]), pickle.loads(Path(sys.argv[2]).read_bytes())))
    else:
        main()
