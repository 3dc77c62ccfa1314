from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
from extaudit.v1 import audit_log_service_pb2 as pb

from tests.polling import until
from tests.unit.cli.test_commands import message
from tests.unit.client.certificates import Pki
from tests.unit.client.fake_service import FakeService

RUN = "from extaudit_cli.main import main; main()"
HEAVY = "import sys; from extaudit_cli.main import run; code = run(sys.argv[1:]); "
HEAVY += "print(sorted({'grpc', 'google', 'cryptography', 'server', 'sqlalchemy'} & set(sys.modules))); sys.exit(code)"


def environment(service: FakeService, pki: Pki) -> dict[str, str]:
    files = {"EXTAUDIT_CA": str(pki.ca), "EXTAUDIT_CERT": str(pki.cert), "EXTAUDIT_KEY": str(pki.key)}
    return {**paths(), "EXTAUDIT_ADDRESS": service.address, **files}


def paths() -> dict[str, str]:
    """Let the process import what the tests import, whether it is installed or not."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize("arguments", [["--help"], ["events", "search", "--help"], ["identity", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HEAVY, *arguments], env=paths(), capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0
    assert "Examples:" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_goes_away_ends_the_command_quietly(service: FakeService, pki: Pki) -> None:
    service.search = lambda _: pb.SearchEventsResponse(
        events=[message() for _ in range(1000)], complete=True, next_page_token=os.urandom(8).hex()
    )
    command = [sys.executable, "-c", RUN, "events", "search", "--all", "--output", "jsonl"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment(service, pki), **pipes) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(240) != 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_an_interrupt_ends_the_command_quietly(service: FakeService, pki: Pki) -> None:
    over = threading.Event()

    def hang(_: object) -> pb.SearchEventsResponse:
        over.wait(100)
        return pb.SearchEventsResponse()

    service.search = hang
    command = [sys.executable, "-c", RUN, "events", "search"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment(service, pki), **pipes) as process:
        until(lambda: service.searches)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=240)
    over.set()
    # The newline ends the line on which the terminal showed ^C.
    assert (process.returncode, out, err) == (130, b"", b"\n")


def test_a_failed_handshake_prints_one_line(service: FakeService, pki: Pki) -> None:
    wrong = {**environment(service, pki), "EXTAUDIT_KEY": str(pki.server_key), "EXTAUDIT_CERT": str(pki.server_cert)}
    wrong["EXTAUDIT_CA"] = str(pki.cert)
    done = subprocess.run([sys.executable, "-c", RUN, "status"], env=wrong, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("Error: can't talk to ")


@pytest.mark.parametrize(
    ("redirected", "why"), [(">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")]
)
def test_output_that_cannot_be_written_fails_with_one_line(redirected: str, why: str) -> None:
    shell = f'exec "$0" -c "$1" completion bash {redirected}'
    done = subprocess.run(
        ["/bin/sh", "-c", shell, sys.executable, RUN], env=paths(), capture_output=True, text=True, timeout=240
    )
    assert (done.returncode, done.stderr) == (1, f"Error: reading or writing failed: {why}\n")


def test_input_that_was_closed_is_no_empty_file(service: FakeService, pki: Pki) -> None:
    shell = 'exec "$0" -c "$1" events emit --file - <&-'
    command = ["/bin/sh", "-c", shell, sys.executable, RUN]
    done = subprocess.run(command, env=environment(service, pki), capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert done.stderr == "Error: can't read the file: Bad file descriptor\n"
