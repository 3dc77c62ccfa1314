"""The two ends of a tail, each a process of its own, that note when things happened by the machine's one clock.

`python -m benchmarks.tail_load emit ADDRESS CA CERT KEY SECONDS` emits messages of 100 events at a steady rate and
prints when each was acknowledged; `watch` in place of `emit` prints when each message's events had arrived, and holds
watches beside it that find nothing. Times are seconds of CLOCK_MONOTONIC; both print one JSON object.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import uvloop
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_pb2
from extaudit.v1 import event_query_pb2 as query_pb
from extaudit.v1 import event_watch_pb2 as watch_pb

from benchmarks.load import BATCH, SERVICE, event

EVENTS_PER_SECOND = 5_000
IDLE = 100
"""Watches beside the one that is measured, whose filters match nothing."""
_SEED = "tail"


async def emit(channel: grpc.aio.Channel, seconds: float) -> dict[int, float]:
    """When each message was acknowledged."""
    count = int(seconds * EVENTS_PER_SECOND / BATCH)
    messages = [
        pb.EmitEventsRequest(
            message_number=number + 1,
            events=[event_pb2.EventPayload(json=event(_SEED, number * BATCH + index)) for index in range(BATCH)],
        ).SerializeToString()
        for number in range(count)
    ]
    await channel.channel_ready()
    started = time.monotonic()

    async def send() -> AsyncIterator[bytes]:
        for number, message in enumerate(messages):
            await asyncio.sleep(max(0.0, started + number * BATCH / EVENTS_PER_SECOND - time.monotonic()))
            yield message

    acknowledged: dict[int, float] = {}
    async for answer in channel.stream_stream(SERVICE + "EmitEvents")(send()):
        now, through = time.monotonic(), pb.EmitEventsResponse.FromString(answer).durable_through
        for number in range(len(acknowledged), through):
            acknowledged[number] = now
    return acknowledged


async def watch(channel: grpc.aio.Channel, seconds: float) -> dict[int, float]:
    """When the last event of each message had arrived."""
    count = int(seconds * EVENTS_PER_SECOND)
    call = channel.unary_stream(SERVICE + "WatchEvents")
    nothing = watch_pb.WatchEventsRequest(filter=query_pb.EventFilter(types=["none"])).SerializeToString()
    idle = [asyncio.create_task(_drain(call(nothing))) for _ in range(IDLE)]
    arrived: dict[int, float] = {}
    events = 0
    wanted = watch_pb.WatchEventsRequest(filter=query_pb.EventFilter(types=["session.start"]))
    async for answer in call(wanted.SerializeToString()):
        response, now = watch_pb.WatchEventsResponse.FromString(answer), time.monotonic()
        if not response.events and not events:
            print("ready", file=sys.stderr, flush=True)
        for row in response.events:
            arrived[int(row.uid.removeprefix(f"{_SEED}-")) // BATCH] = now
        events += len(response.events)
        if events >= count:
            break
    for task in idle:
        task.cancel()
    return arrived


async def _drain(call: grpc.aio.UnaryStreamCall[bytes, bytes]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        async for _ in call:
            pass


async def main(kind: str, address: str, credentials: grpc.ChannelCredentials, seconds: float) -> None:
    """Run one end."""
    async with grpc.aio.secure_channel(address, credentials) as channel:
        times = await (emit if kind == "emit" else watch)(channel, seconds)
    print(json.dumps(times), flush=True)


if __name__ == "__main__":
    kind_, address_, ca, cert, key, seconds_ = sys.argv[1:]
    pems = [Path(name).read_bytes() for name in (ca, key, cert)]
    uvloop.run(main(kind_, address_, grpc.ssl_channel_credentials(*pems), float(seconds_)))
