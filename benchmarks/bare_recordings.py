"""Floors for the recordings' benchmark: bare streams over mTLS in a process of their own.

`python -m benchmarks.bare_recordings CERTIFICATE KEY CLIENT_CAS` serves on a free port of the loopback, prints the port
and ends with its standard input. An upload's messages are thrown away as bytes, not even decoded; a download gives the
same encoded chunk again and again. No identity, no limits, no disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import uvloop
from extaudit.v1 import recording_service_pb2 as pb

from benchmarks.beside import server_of

SERVICE = "extaudit.v1.RecordingService"
CHUNK = 1024 * 1024


async def discard(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
    """Throw an upload away, and then tell how much there was."""
    total = 0
    async for message in requests:
        total += len(message)
    yield pb.UploadRecordingResponse(durable_offset=total).SerializeToString()


async def repeat(request: bytes, _context: Any) -> AsyncIterator[bytes]:
    """As many bytes as were asked for."""
    message = pb.DownloadRecordingResponse(chunk=bytes(CHUNK)).SerializeToString()
    for _ in range(pb.DownloadRecordingRequest.FromString(request).length // CHUNK):
        yield message


@contextlib.contextmanager
def bare_server(certificate: Path, key: Path, client_cas: Path) -> Iterator[int]:
    """Run the server in a process of its own; gives the port."""
    with server_of("bare_recordings", certificate, key, client_cas) as port:
        yield port


async def _serve(certificate: bytes, key: bytes, client_cas: bytes) -> None:
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 8 * 1024 * 1024)])
    handlers: dict[str, Any] = {
        "UploadRecording": grpc.stream_stream_rpc_method_handler(discard),
        "DownloadRecording": grpc.unary_stream_rpc_method_handler(repeat),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)], client_cas, True))
    await server.start()
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    uvloop.run(_serve(*(Path(name).read_bytes() for name in sys.argv[1:4])))
