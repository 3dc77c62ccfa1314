"""Floors for the emit benchmarks: a server with a bare unary and a bare stream handler over mTLS, in its own process.

`python -m benchmarks.bare_handlers CERTIFICATE KEY CLIENT_CAS` serves on a free port of the loopback, prints the port
and ends with its standard input. Both handlers decode requests and encode answers as the real ones must, and do nothing
else: no identity, no limits, no durability.
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
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceServicer, add_AuditLogServiceServicer_to_server

from benchmarks.beside import server_of


class BareHandlers(AuditLogServiceServicer):
    """Throws events away and acknowledges them."""

    async def EmitEvent(self, request: pb.EmitEventRequest, context: Any) -> pb.EmitEventResponse:  # noqa: N802
        """Throw one event away."""
        return pb.EmitEventResponse(uid="u", storage="default", log_id="log", sequence=1)

    async def EmitEvents(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.EmitEventsRequest], context: Any
    ) -> AsyncIterator[pb.EmitEventsResponse]:
        """Throw messages away, each with an answer."""
        async for message in request_iterator:
            yield pb.EmitEventsResponse(durable_through=message.message_number)


@contextlib.contextmanager
def bare_server(certificate: Path, key: Path, client_cas: Path) -> Iterator[int]:
    """Run the server in a process of its own; gives the port."""
    with server_of("bare_handlers", certificate, key, client_cas) as port:
        yield port


async def _serve(certificate: bytes, key: bytes, client_cas: bytes) -> None:
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 8 * 1024 * 1024)])
    add_AuditLogServiceServicer_to_server(BareHandlers(), server)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)], client_cas, True))
    await server.start()
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    uvloop.run(_serve(*(Path(name).read_bytes() for name in sys.argv[1:4])))
