"""A load client in a process of its own: 4 streams of 100-event batches, or 64 unary calls in flight.

Messages are built before the clock starts and sent as bytes, so that the client costs as little as it can on a machine
that it shares with the server. `python -m benchmarks.load stream|unary ADDRESS CA CERT KEY COUNT SEED` prints seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import uvloop
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_pb2

STREAMS = 4
BATCH = 100
IN_FLIGHT = 64
SERVICE = "/extaudit.v1.AuditLogService/"


def event(seed: str, number: int) -> bytes:
    """An event of about 650 bytes in Teleport's shape."""
    body = {
        "addr.local": "172.31.28.130:3022",
        "addr.remote": "151.181.228.114:51454",
        "cluster_name": "example.cluster",
        "code": "T2000I",
        "ei": 0,
        "event": "session.start",
        "login": "root",
        "namespace": "default",
        "server_hostname": "node-0123456789abcdef.example.internal",
        "server_labels": {"env": "production", "team": "platform", "zone": "eu-central-1a", "arch": "x86_64"},
        "session_recording": "node-sync",
        "sid": "56408539-6536-11e9-80a1-427cfde50f5a",
        "size": "80:25",
        "time": f"2026-11-20T10:{number // 60 % 60:02d}:{number % 60:02d}.{number % 1000:03d}Z",
        "uid": f"{seed}-{number:012d}",
        "user": f"user-{number % 500}@example.com",
        "user_agent": "tsh/18.2.1 (linux; amd64)",
        "trusted_device": {"asset_tag": "C02XX0XXXXXX", "device_id": "0e2c9a4e-6ad2-4a3f-8a0a-6f2f3c2d9a11"},
    }
    return json.dumps(body, separators=(",", ":")).encode()


def stream_messages(seed: str, stream: int, count: int) -> list[bytes]:
    """Serialised EmitEventsRequest messages of one stream."""
    messages = []
    for number in range(count):
        first = (stream * count + number) * BATCH
        events = [event_pb2.EventPayload(json=event(seed, first + index)) for index in range(BATCH)]
        messages.append(pb.EmitEventsRequest(message_number=number + 1, events=events).SerializeToString())
    return messages


async def run_streams(channel: grpc.aio.Channel, count: int, seed: str) -> float:
    """Seconds until everything is acknowledged."""
    prepared = [stream_messages(seed, stream, count) for stream in range(STREAMS)]

    async def one(messages: list[bytes]) -> None:
        async def send() -> AsyncIterator[bytes]:
            for message in messages:
                yield message

        call = channel.stream_stream(SERVICE + "EmitEvents")(send())
        durable = 0
        async for answer in call:
            durable = pb.EmitEventsResponse.FromString(answer).durable_through
        assert durable == len(messages), f"{durable} of {len(messages)} messages acknowledged"

    await channel.channel_ready()
    started = time.perf_counter()
    await asyncio.gather(*(one(messages) for messages in prepared))
    return time.perf_counter() - started


async def run_unary(channel: grpc.aio.Channel, count: int, seed: str) -> float:
    """Seconds until all calls are answered."""
    requests = [
        pb.EmitEventRequest(event=event_pb2.EventPayload(json=event(seed, number))).SerializeToString()
        for number in range(count)
    ]
    call = channel.unary_unary(SERVICE + "EmitEvent")
    waiting = iter(requests)

    async def worker() -> None:
        for request in waiting:
            await call(request)

    await channel.channel_ready()
    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    return time.perf_counter() - started


async def main(kind: str, address: str, credentials: grpc.ChannelCredentials, count: int, seed: str) -> None:
    """Run one load."""
    run = run_streams if kind == "stream" else run_unary
    async with grpc.aio.secure_channel(address, credentials) as channel:
        print(await run(channel, count, seed), flush=True)


if __name__ == "__main__":
    kind_, address_, ca, cert, key, count_, seed_ = sys.argv[1:]
    pems = [Path(name).read_bytes() for name in (ca, key, cert)]
    uvloop.run(main(kind_, address_, grpc.ssl_channel_credentials(*pems), int(count_), seed_))
