"""A story of commands: each is shown and explained, really run, and must come out as the story says."""

from __future__ import annotations

import shlex
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from extaudit_cli.colours import Paint
from extaudit_cli.main import PROGRAM
from extaudit_cli.text import visible

_RUN = [sys.executable, "-c", "from extaudit_cli.main import main; main()"]
_COLUMNS = 100
_SECONDS = 60


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
        lines = _wrapped([PROGRAM, *words])
        self.paint.echo(self.paint("$ " + " \\\n    ".join(lines), "plain"))

    def run(self, *words: str, code: int = 0, says: Sequence[str] = (), lines: int = 12) -> str:
        """Run a command of ours, show it and the first `lines` of what it says.

        Raises:
            Otherwise: it ends with another code than `code`, or doesn't say all that `says` has.
        """
        self.show(*words)
        done = self._done([*_RUN, *words])
        said = done.stdout.decode(errors="replace")
        self._show_said(said, lines if done.returncode == code else sys.maxsize)
        if done.returncode != code:
            raise Otherwise(f"{PROGRAM} {words[0]} ended with {done.returncode}, and not with {code}")
        if lacking := [each for each in says if each not in said]:
            raise Otherwise(f"{PROGRAM} {' '.join(words[:2])} doesn't say {lacking[0]!r}; all of it:\n{said}")
        return said

    def _done(self, command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                command,
                cwd=self.folder,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Otherwise(f"a command didn't end within {_SECONDS} s") from None

    def _show_said(self, said: str, most: int) -> None:
        lines = said.rstrip("\n").split("\n")
        left = len(lines) - most
        shown = [*lines[: most - 1], f"… {left + 1} lines more …", lines[-1]] if left > 1 else lines
        self.paint.echo("\n".join(f"  {visible(line)}".rstrip() for line in shown) + "\n")


def _wrapped(words: Sequence[str]) -> list[str]:
    """A command in lines that fit, broken before options."""
    lines = [""]
    for word in map(shlex.quote, words):
        if word.startswith("--") and len(lines[-1]) > _COLUMNS - 40:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines
