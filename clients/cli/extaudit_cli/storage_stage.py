"""Which external audit storage a command is about: the draft, or the one in force."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

STAGES: Final = ("draft", "cluster")


def stage_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--stage`."""
    return click.option(
        "--stage",
        type=click.Choice(STAGES),
        default="draft",
        show_default=True,
        help="Of the draft, or of the storage in force (cluster).",
    )(command)
