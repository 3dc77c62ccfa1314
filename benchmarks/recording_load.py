"""A client of recordings in a process of its own, that costs as little as it can, as it shares the server's machine.

`python -m benchmarks.recording_load upload|hashed|download ADDRESS CA CERT KEY MIB SESSION` moves so many MiB, prints
seconds until all of it is durable, or has arrived, and for an upload the upload's id. `hashed` is an upload whose whole
has a digest made as it comes.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import grpc
import uvloop
from extaudit.v1 import recording_service_pb2 as pb
from extaudit_client.upload_window import chunk

SERVICE = "/extaudit.v1.RecordingService/"
MIB = 1024 * 1024


async def upload(channel: grpc.aio.Channel, mebibytes: int, session: str, *, hashed: bool = False) -> tuple[float, str]:
    """Seconds until everything is durable, and the upload's id."""
    data = random.Random(session).randbytes(MIB)

    async def messages() -> AsyncIterator[bytes]:
        start = pb.UploadStart(session_id=session, with_sha256=hashed)
        yield pb.UploadRecordingRequest(start=start).SerializeToString()
        for number in range(mebibytes):
            yield chunk(number * MIB, data)

    await channel.channel_ready()
    started = time.perf_counter()
    response = pb.UploadRecordingResponse()
    async for answer in channel.stream_stream(SERVICE + "UploadRecording")(messages()):
        response = pb.UploadRecordingResponse.FromString(answer)
    seconds = time.perf_counter() - started
    assert response.durable_offset >= mebibytes * MIB, f"{response.durable_offset} bytes are durable"
    return seconds, response.upload_id


async def download(channel: grpc.aio.Channel, mebibytes: int, session: str) -> tuple[float, str]:
    """Seconds until everything has arrived."""
    request = pb.DownloadRecordingRequest(session_id=session, length=mebibytes * MIB).SerializeToString()
    await channel.channel_ready()
    started = time.perf_counter()
    received = 0
    async for answer in channel.unary_stream(SERVICE + "DownloadRecording")(request):
        received += len(answer)
    assert received >= mebibytes * MIB, f"{received} bytes came"
    return time.perf_counter() - started, ""


async def main(kind: str, address: str, credentials: grpc.ChannelCredentials, mebibytes: int, session: str) -> None:
    """Run one load."""
    run = {"upload": upload, "hashed": partial(upload, hashed=True), "download": download}[kind]
    options = [("grpc.max_receive_message_length", 8 * MIB)]
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        seconds, upload_id = await run(channel, mebibytes, session)
        print(seconds, upload_id, flush=True)


if __name__ == "__main__":
    kind_, address_, ca, cert, key, mebibytes_, session_ = sys.argv[1:]
    pems = [Path(name).read_bytes() for name in (ca, key, cert)]
    uvloop.run(main(kind_, address_, grpc.ssl_channel_credentials(*pems), int(mebibytes_), session_))
