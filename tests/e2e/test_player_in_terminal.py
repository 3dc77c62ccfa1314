"""`extaudit recordings play` in a real terminal: what is on the screen, and what a hostile recording can't do to it."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import extaudit_cli
import pytest
from extaudit.recording.v1 import recorded_event_pb2 as pb

from server.recordings.format.writer import RecordingWriter
from tests.e2e.terminal import TMUX, Terminal, terminal
from tests.running_server import RUN, RunningServer, environment, running_server

pytestmark = pytest.mark.skipif(TMUX is None, reason="tmux is not installed: the player isn't driven in a terminal")

SHELL = "d5b6f0c2-3c1d-4f0e-9a57-51a0c7e3b8f4"
PROMPT = "idris@crane-04"
"""In what it shows for half a minute, and eight times as long at the lowest speed; its first lines are cleared soon."""
SAMPLES = Path(extaudit_cli.__file__).parent / "sample-recordings"
HOSTILE = (
    b"\x1b]0;hostile title\x07\x1b]2;hostile title\x1b\\"
    b"\x1b]52;c;aG9zdGlsZQ==\x07"
    b"\x1b[c\x1b[>c\x1b[6n\x1b[5n\x1b[18t\x1b[21t\x1bP$qm\x1b\\\x1b]11;?\x07\x05\x1bZ"
    b"\x1b[?1000h\x1b[?1006h\x1b[?2004h"
    b"harmless\r\n\x1b[?1049h\x1b[2J\x1b[5;5Hin the alternate screen\x1b[?25l\x1b[3;9r"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Terminal]:
    with terminal(tmp_path, environment()) as opened:
        yield opened


def command(server: RunningServer, *arguments: str) -> list[str]:
    return [*RUN, "recordings", *arguments, "--data-dir", str(server.data_dir)]


def upload(server: RunningServer, path: Path, session: str) -> None:
    subprocess.run(
        command(server, "upload", str(path), "--session", session), env=environment(), check=True, capture_output=True
    )


@pytest.fixture(scope="module")
def sample(server: RunningServer) -> str:
    upload(server, SAMPLES / f"{SHELL}.tar", SHELL)
    return SHELL


@pytest.fixture
def hostile(server: RunningServer, tmp_path: Path) -> str:
    session = str(uuid.uuid4())
    writer = RecordingWriter()
    message = pb.SessionPrint(data=HOSTILE)
    message.metadata.type = "print"
    message.metadata.time.FromSeconds(1_790_000_000)
    path = tmp_path / "hostile.tar"
    path.write_bytes(writer.add(message) + writer.finish())
    upload(server, path, session)
    return session


def plainly_shown(shell: Terminal, session: str, server: RunningServer) -> list[str]:
    """The screen after the recording's bytes went to the terminal as they are: what the player is compared with."""
    script = (
        "import pathlib, sys; from extaudit_client import Client, RecordedEvent\n"
        "from extaudit_client.files import find_connection\n"
        f"client = Client(find_connection({{}}, pathlib.Path({str(server.data_dir)!r})))\n"
        f"for item in client.recordings.events({session!r}):\n"
        "    if isinstance(item, RecordedEvent): sys.stdout.buffer.write(item.data)"
    )
    return shell.run([sys.executable, "-c", script])


def test_the_screen_is_as_the_session_left_it(server: RunningServer, shell: Terminal, sample: str) -> None:
    *played, end = shell.run(command(server, "play", sample, "--no-wait"))
    assert end.startswith("-- 0:")
    expected = plainly_shown(shell, sample, server)
    assert len(expected) > 5
    assert "\n".join(played).rstrip("\n").split("\n") == expected


def test_keys_pause_and_end_it_and_the_shell_gets_none_of_them(
    server: RunningServer, shell: Terminal, sample: str
) -> None:
    end = shell.start(command(server, "play", sample, "--speed", "0.125"))
    shell.wait_for(PROMPT)
    shell.type("Space", "Space", "+", "-", "Right", "q", "x")
    assert "x" not in shell.wait_for(end)[-1]
    assert shell.told("#{cursor_flag}") == "1"


def test_a_hostile_recording_leaves_the_terminal_alone(server: RunningServer, shell: Terminal, hostile: str) -> None:
    title = shell.told("#{pane_title}")
    shown = shell.run(command(server, "play", hostile))
    assert shown[0] == "harmless"
    assert shown[-1].startswith("-- 0:")
    # An answer of the terminal would have been typed into the shell.
    assert shell.run(["echo", "nothing"]) == ["nothing"]
    assert [line for line in shell.screen if "ended" not in line and line.strip("#$ ")] == ["nothing"]
    assert shell.told("#{pane_title}") == title
    assert shell.clipboard() == ""
    assert shell.told("#{alternate_on} #{cursor_flag} #{mouse_any_flag}") == "0 1 0"
    assert shell.told("#{scroll_region_upper} #{scroll_region_lower}") == "0 39"


def test_shown_as_it_is_the_same_recording_does_change_the_terminal(
    server: RunningServer, shell: Terminal, hostile: str
) -> None:
    """Else the test above could not fail."""
    plainly_shown(shell, hostile, server)
    assert shell.told("#{pane_title}") == "hostile title"
    assert "hostile" in shell.clipboard()


def test_a_termination_gives_the_keyboard_back(server: RunningServer, shell: Terminal, sample: str) -> None:
    end = shell.start(command(server, "play", sample, "--speed", "0.125"))
    shell.wait_for(PROMPT)
    subprocess.run(["pkill", "-TERM", "-P", shell.told("#{pane_pid}")], check=True)
    shell.wait_for(end)
    settings = " ".join(shell.run(["stty", "-a"])).split()
    assert "icanon" in settings
    assert "echo" in settings
