"""Who can write the files that say who may do what: nobody but the service's account and root."""

from __future__ import annotations

import os
import stat


def refusal_of(found: os.stat_result, account: int) -> str:
    """Why others than this account and root can write a file or folder, as a sentence about it; "" if they can't.

    An owner who took the right to write away from himself can give it back, so he counts as one who can.
    """
    if (owner := found.st_uid) not in (0, account):
        return f"belongs to user {owner}, who could give any right by it: chown it to root or to the service's account"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(found.st_mode)
        return f"has mode {mode:04o}, so that others than its owner could give any right by it: chmod go-w it"
    return ""
