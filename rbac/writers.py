"""Who can write the files that say who may do what: nobody but the service's account and root."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

WHOEVER: Final = -1
"""Instead of an account that isn't known yet: owners aren't judged, only modes."""

_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def refusal_of(path: Path, found: os.stat_result, account: int) -> str:
    """Why others than this account and root can write a file or folder, as a sentence about it; "" if they can't.

    An owner who took the right to write away from himself can give it back, so he counts as one who can. The mode
    counts for nothing where it gives no right: on a mount that is read-only (Kubernetes gives the folder of a ConfigMap
    all rights, and nobody can take them away), and, of a file, in a folder that nobody else can enter (with umask 0002
    each new file is its group's to write). A folder itself is judged by its own mode, since its files go by that.

    Args:
        path: Where it is; links are followed.
        found: What it was when it was opened.
        account: The service's, or WHOEVER.
    """
    if (owner := found.st_uid) not in _trusted(account, owner):
        return f"belongs to user {owner}, who could give any right by it: chown it to root or to the service's account"
    if found.st_mode & _OTHERS_WRITE and not _is_out_of_reach(path, found, account):
        mode = stat.S_IMODE(found.st_mode)
        return f"has mode {mode:04o}, so that others than its owner could give any right by it: chmod go-w it"
    return ""


def _trusted(account: int, owner: int) -> tuple[int, int]:
    return (0, owner if account == WHOEVER else account)


def _is_out_of_reach(path: Path, found: os.stat_result, account: int) -> bool:
    try:
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            return True
        folder = os.stat(os.path.dirname(os.path.realpath(path)))
    except OSError:
        return False
    is_private = not folder.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    return stat.S_ISREG(found.st_mode) and is_private and folder.st_uid in _trusted(account, folder.st_uid)
