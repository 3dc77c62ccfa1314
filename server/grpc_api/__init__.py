"""The gRPC edge: the only place of the server that knows protobuf and status codes."""
