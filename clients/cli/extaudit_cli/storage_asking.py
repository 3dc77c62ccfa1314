"""Asking before something that can't be taken back lightly, where somebody is there to answer."""

from __future__ import annotations

import sys

import click


def confirm(question: str, *, yes: bool) -> None:
    """Ask, on a terminal, and end the command unless the answer is yes; `yes` was answered beforehand."""
    if yes or not sys.stdin.isatty():
        return
    if not click.confirm(question, err=True):
        raise click.ClickException("nothing was done")
