"""A story of commands: each is shown and explained, really run, and must come out as the story says."""

from __future__ import annotations

import shlex
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from extaudit_cli.colours import Paint
from extaudit_cli.main import PROGRAM
from extaudit_cli.text import visible

from tests.started_process import run_to_end

_COLUMNS = 100
_WIDEST = 160
_SECONDS = 120


class Otherwise(Exception):
    """Something came out otherwise than the story says."""


@dataclass
class Story:
    """Runs commands in a folder. `environment` is that of a shell in which they would be typed."""

    folder: Path
    environment: Mapping[str, str]
    paint: Paint = field(default_factory=lambda: Paint.for_stream(sys.stdout))
    _chapter: int = 0

    def chapter(self, title: str, text: str) -> None:
        """Begin a chapter, with what it is about."""
        self._chapter += 1
        self.paint.echo(f"{self.paint(f'{self._chapter}. {title}', 'heading')}\n")
        self.tell(text)

    def tell(self, text: str) -> None:
        """Say something."""
        paragraph = " ".join(text.split())
        self.paint.echo(textwrap.fill(paragraph, _COLUMNS, break_long_words=False, break_on_hyphens=False) + "\n")

    def show(self, *words: str) -> None:
        """Show a command as it would be typed."""
        self.show_line([PROGRAM, *words])

    def show_line(self, words: Sequence[str]) -> None:
        """Show what would be typed into a shell."""
        lines = _wrapped(words)
        self.paint.echo(self.paint("$ " + " \\\n    ".join(lines), "plain"))

    def run(self, *words: str, code: int = 0, says: Sequence[str] = (), lines: int = 12) -> str:
        """Run a command of ours, show it and the first `lines` of what it says.

        Raises:
            Otherwise: it ends with another code than `code`, or doesn't say all that `says` has.
        """
        self.show(*words)
        said, _ = self._ran(f"{PROGRAM} {' '.join(words[:2])}", self._done(words), code, lines)
        if lacking := [each for each in says if each not in said]:
            raise Otherwise(f"{PROGRAM} {' '.join(words[:2])} doesn't say {lacking[0]!r}; all of it:\n{said}")
        return said

    def read(self, *words: str, code: int = 0, lines: int = 4) -> bytes:
        """As `run`, and give the bytes that it writes to stdout."""
        self.show(*words)
        return self._ran(f"{PROGRAM} {' '.join(words[:2])}", self._done(words), code, lines)[1]

    def quiet(self, *words: str) -> bytes:
        """As `read`, without a word to whoever reads the story."""
        done = self._done(words)
        if done.returncode:
            raise Otherwise(f"{PROGRAM} {words[0]} ended with {done.returncode}: {done.stderr.decode()}")
        return done.stdout

    def until_known(self, profile: str) -> None:
        """Return once the service knows of the profile's certificate, without a word to whoever reads the story.

        Raises:
            Otherwise: it doesn't for too long.
        """
        deadline = time.monotonic() + _SECONDS
        while b"UNAUTHENTICATED" in (done := self._done(["status", "--profile", profile])).stderr:
            if time.monotonic() > deadline:
                raise Otherwise(f"the service doesn't come to know of {profile}: {done.stderr.decode()}")
            time.sleep(0.05)

    def run_script(self, script: Path, *words: str, environment: Mapping[str, str], lines: int = 20) -> bytes:
        """Show a script of somebody's own, run it with the Python of this process, and give what it writes to stdout.

        Raises:
            Otherwise: it ends with another code than 0.
        """
        self.paint.echo("\n".join(f"  | {line}".rstrip() for line in script.read_text().splitlines()) + "\n")
        given = [f"{name}={value}" for name, value in environment.items()]
        self.show_line([*given, "python", script.name, *words])
        command = [sys.executable, str(script), *words]
        environ = dict(self.environment) | environment
        with _in_time():
            done = subprocess.run(
                command, cwd=self.folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS
            )
        return self._ran(script.name, done, 0, lines)[1]

    def _ran(self, name: str, done: subprocess.CompletedProcess[bytes], code: int, lines: int) -> tuple[str, bytes]:
        """What a command says, and what of it is on stdout."""
        said = (done.stdout + done.stderr).decode(errors="replace")
        self._show_said(said, lines if done.returncode == code else sys.maxsize)
        if done.returncode != code:
            raise Otherwise(f"{name} ended with {done.returncode}, and not with {code}")
        return said, done.stdout

    def _done(self, words: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        with _in_time():
            return run_to_end(words, self.folder, self.environment, timeout=_SECONDS)

    def _show_said(self, said: str, most: int) -> None:
        lines = [f"{line[:_WIDEST]} …" if len(line) > _WIDEST else line for line in said.rstrip("\n").split("\n")]
        left = len(lines) - most
        shown = [*lines[: most - 1], f"… {left + 1} lines more …", lines[-1]] if left > 1 else lines
        self.paint.echo("\n".join(f"  {visible(line)}".rstrip() for line in shown) + "\n")


@contextmanager
def _in_time() -> Iterator[None]:
    try:
        yield
    except (subprocess.TimeoutExpired, TimeoutError):
        raise Otherwise(f"a command didn't end within {_SECONDS} s") from None


def _wrapped(words: Sequence[str]) -> list[str]:
    """A command in lines that fit, broken before options."""
    lines = [""]
    for word in map(shlex.quote, words):
        if word.startswith("--") and len(lines[-1]) > _COLUMNS - 40:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines
