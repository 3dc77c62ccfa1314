"""A bearer token from a file, read anew for every call: whatever renews the token only has to replace the file."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

from extaudit_client.errors import ConnectionFailed

_MAX_BYTES = 16 * 1024
_TOKEN = re.compile(rb"\s*([A-Za-z0-9._~+/=-]+)\s*")


def read_token(path: Path) -> str:
    """The token in a file that only its owner has rights to; white space around it doesn't matter.

    Raises:
        ConnectionFailed: it can't be read, others have rights to it, or it holds no token. No message holds the token.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ConnectionFailed(f"the token file {path} is not a regular file", "FAILED_PRECONDITION")
            if stat.S_IMODE(found.st_mode) & 0o077:
                raise ConnectionFailed(
                    f"the token file {path} may only be its owner's: run chmod 600 on it", "FAILED_PRECONDITION"
                )
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConnectionFailed(f"there is no token file at {path}", "FAILED_PRECONDITION") from None
    except OSError as error:
        raise ConnectionFailed(f"can't read the token file {path}: {error.strerror}", "FAILED_PRECONDITION") from error
    matched = _TOKEN.fullmatch(data)
    if len(data) > _MAX_BYTES or matched is None:
        raise ConnectionFailed(f"{path} holds no token", "FAILED_PRECONDITION")
    return matched[1].decode()


def with_token(options: dict[str, Any], path: Path) -> dict[str, Any]:
    """A call's options with the file's token among its metadata. The channel must be one with TLS."""
    header = ("authorization", f"Bearer {read_token(path)}")
    return options | {"metadata": (*(options.get("metadata") or ()), header)}


def _open_at_once(path: str, flags: int) -> int:
    # Opening a FIFO would otherwise wait until someone writes to it.
    return os.open(path, flags | os.O_NONBLOCK)
