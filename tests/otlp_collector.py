"""A small collector of traces: takes OTLP by gRPC over real sockets and keeps the spans."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as pb_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector(pb_grpc.TraceServiceServicer):  # type: ignore[misc]
    """Keeps what it is sent; while `held` it answers nothing."""

    def __init__(self) -> None:
        self.requests: list[pb.ExportTraceServiceRequest] = []
        self.address = ""
        self.held = threading.Event()
        self.go_on = threading.Event()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 -- as the proto has it
        if self.held.is_set():
            self.go_on.wait(60)
        self.requests.append(request)
        return pb.ExportTraceServiceResponse()

    @property
    def spans(self) -> list[Span]:
        """All spans so far."""
        return [
            span
            for request in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str) -> list[Span]:
        """The spans of this name."""
        return [span for span in self.spans if span.name == name]

    def resource(self) -> dict[str, str]:
        """What the sender says of itself."""
        return attributes(self.requests[0].resource_spans[0].resource)


def attributes(of: Any) -> dict[str, Any]:
    """The attributes of a span or resource."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


@contextmanager
def collecting(credentials: grpc.ServerCredentials | None = None) -> Iterator[Collector]:
    """Serve a collector until the end of the block, by TLS if it has credentials."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(4))
    pb_grpc.add_TraceServiceServicer_to_server(collector, server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("localhost:0", credentials)
    collector.address = f"localhost:{port}" if credentials else f"127.0.0.1:{port}"
    server.start()
    try:
        yield collector
    finally:
        collector.go_on.set()
        server.stop(0).wait()
