"""What holds for the tests of one process."""

from __future__ import annotations

import os
import signal

# What gRPC's own threads write of connections that end would come at any time into what a test captures of stderr.
os.environ["GRPC_VERBOSITY"] = "NONE"

import grpc.aio

# gRPC ends itself whenever nothing of it is left, and a call that is let go after that, as with a test's log records at
# its teardown, makes the process crash. It does so rarely; no program but one of tests begins and ends it so often.
grpc.aio.init_grpc_aio()

# What a shell runs in the background ignores SIGINT, what outlives it SIGHUP, and so would every program that a test
# starts and signals.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Where every file is made so that its group can write it, as on some machines, the service takes no role from one.
os.umask(0o022)
