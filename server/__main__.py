"""`extaudit serve`: read the configuration, build, serve until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import uvloop

from rbac.errors import PolicyError
from server import process
from server.app import build
from server.certificates.problems import CertificateProblem
from server.config import Config, ConfigProblems, load_config
from server.config.aws_environment import shut_out_aws
from server.data_directory import LATER_VERSION, DataDirectoryProblem
from server.errors import AuditStoreError
from server.http_api.listener import ListenerError
from server.lifecycle import App
from server.observability import logs
from server.observability.trace_opening import TracingProblem
from server.state.database import StateFault, reason
from server.state.migrations import NewerSchema
from server.terminal import Terminal
from server.tokens.jwks import JwksProblem

_log = logging.getLogger(__name__)


def serve(flags: Mapping[str, object]) -> int:
    """Serve; gives the exit code: 0 after an orderly stop, 1 if it can't start, 2 for a wrong configuration."""
    os.umask(0o077)
    ignored = shut_out_aws(os.environ)
    # Until there is something to read again, a SIGHUP must not end the process: everything is about to be read anyway.
    # Whoever had it ignored, as nohup does, wants the service to outlive the terminal.
    outlives_terminal = signal.signal(signal.SIGHUP, signal.SIG_IGN) == signal.SIG_IGN
    read = partial(load_config, flags, dict(os.environ))
    try:
        config = read()
    except ConfigProblems as error:
        for problem in error.problems:
            print(f"extaudit: {problem}", file=sys.stderr)
        return 2
    logs.configure(config.log.level, config.log.format)
    if ignored:
        _log.info("variables of AWS in the environment don't count", extra={"fields": {"names": ", ".join(ignored)}})
    try:
        code: int = uvloop.run(_serve(config, read, None if outlives_terminal else Terminal()))
        return code
    except (DataDirectoryProblem, CertificateProblem, PolicyError, ListenerError, JwksProblem, TracingProblem) as error:
        print(f"extaudit: {error}", file=sys.stderr)
    except AuditStoreError as error:
        print(f"extaudit: {error.message}", file=sys.stderr)
    except NewerSchema as error:
        print(f"extaudit: {error}; {LATER_VERSION}", file=sys.stderr)
    except StateFault as error:
        _log.debug("start failed", exc_info=error)
        print(f"extaudit: the state database can't be used: {reason(error)}", file=sys.stderr)
    except RuntimeError as error:
        # What grpc raises when the address is taken.
        _log.debug("start failed", exc_info=error)
        places = " or ".join(filter(None, (config.grpc.listen, config.grpc.token_listen)))
        print(f"extaudit: {places} can't be listened on; is another service there?", file=sys.stderr)
    except OSError as error:
        print(f"extaudit: the data directory can't be used ({_reason(error, config.data_dir)})", file=sys.stderr)
    finally:
        process.let_go_of_lost_output()
    return 1


def _reason(error: OSError, data_dir: Path) -> str:
    """What is wrong, and with which file where it is one of the data directory's."""
    place = Path(error.filename) if isinstance(error.filename, str) else data_dir
    if place == data_dir or not place.is_relative_to(data_dir):
        return str(error.strerror)
    return f"{place.relative_to(data_dir)}: {error.strerror}"


async def _serve(config: Config, read: Callable[[], Config], terminal: Terminal | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    hung_up = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, hung_up.set)
    app = build(config, read=read)

    def hang_up() -> None:
        if terminal is not None and terminal.is_gone():
            stop.set()
        else:
            app.reloading.ask()

    loop.add_signal_handler(signal.SIGHUP, hang_up)
    if hung_up.is_set():
        hang_up()
    try:
        await app.start()
    except BaseException:
        await app.stop()
        _let_go_of_hang_ups(loop)
        raise
    _greet(app)
    waiting = {asyncio.create_task(stop.wait()), asyncio.create_task(app.failed.wait())}
    _, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for other in others:
        other.cancel()
    _log.info("stopping")
    await app.stop()
    _let_go_of_hang_ups(loop)
    _log.info("stopped")
    return 1 if app.failed.is_set() else 0


def _let_go_of_hang_ups(loop: asyncio.AbstractEventLoop) -> None:
    """Take the handler of SIGHUP away, and with it what it holds.

    The loop outlives the service in gRPC's hands, and would keep that alive to the interpreter's very end, where DuckDB
    tells at length of each object that is left.
    """
    loop.remove_signal_handler(signal.SIGHUP)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _greet(app: App) -> None:
    """Say where everything is, and what to try."""
    ready = app.ready
    data_dir = app.config.data_dir
    certs = f"-cacert {ready['ca']} -cert {ready['cert']} -key {ready['key']}"
    filters = """'{"types": ["user.login"]}'"""
    lines = [
        f"extaudit serves gRPC on {ready['grpc']} (mTLS) and operations on http://{ready['http']}/readyz",
        f"certificates: {data_dir / 'identity'} (ca.crt, admin.crt, admin.key)",
        *([f"gRPC for bearer tokens (server TLS) on {ready['grpc_token']}"] if ready["grpc_token"] else []),
        "try, in another terminal:",
        f"  .venv/bin/extaudit events emit --sample --data-dir {data_dir}",
        f"  .venv/bin/extaudit events search --type user.login --data-dir {data_dir}",
        f"  grpcurl {certs} -d {filters} {ready['grpc']} extaudit.v1.AuditLogService/SearchEvents",
    ]
    # Nobody may be there any more to read it, which is no reason to stop.
    with contextlib.suppress(OSError):
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    process.set_up()
    sys.exit(serve({}))
