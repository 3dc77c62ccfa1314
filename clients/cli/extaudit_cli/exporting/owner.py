"""Whose a folder is: one state's, which finds its own random id there and writes nowhere else."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from typing import Final

from extaudit_cli.exporting.outputs import Save
from extaudit_cli.exporting.state import ExportState, StateProblem
from server.files import Files, write_durably

OWNER: Final = ".export-owner"
"""The file with the id. Hidden: readers that take a folder as one table leave it out."""


def claimed(files: Files, folder: Path, state: ExportState, save: Save) -> ExportState:
    """Make the folder the state's if it is nobody's; gives the state that says so.

    The id is in the state before it is in the folder, so that a stop between the two leaves no folder of nobody.

    Raises:
        StateProblem: it is another's, or not the one that this state's export wrote before.
    """
    if not state.owner:
        state = replace(state, owner=secrets.token_hex(16))
        save(state)
    if not state.claimed and files.size(folder / OWNER) is None:
        write_durably(files, folder / OWNER, _content(state))
    check_owner(files, folder, state)
    files.sync_folder(folder)  # a stop may have come before that
    return replace(state, claimed=True)


def check_owner(files: Files, folder: Path, state: ExportState) -> None:
    """Look whether the folder is still the state's.

    Raises:
        StateProblem: it isn't.
    """
    try:
        found = files.read(folder / OWNER)
    except FileNotFoundError:
        raise StateProblem(
            f"{folder} isn't the folder that the state's export has written, or it was emptied: "
            "give that --out, or another --state"
        ) from None
    if found != _content(state):
        raise StateProblem(f"{folder} is another export's: give another --out, or the --state of that one")


def _content(state: ExportState) -> bytes:
    return state.owner.encode() + b"\n"
