"""What holds for the tests of one process."""

from __future__ import annotations

import grpc.aio

# gRPC ends itself whenever nothing of it is left, and a call that is let go after that, as with a test's log records at
# its teardown, makes the process crash. It does so rarely; no program but one of tests begins and ends it so often.
grpc.aio.init_grpc_aio()
