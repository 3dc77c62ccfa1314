"""What AWS's libraries would read of the environment is taken out of it, before any of them is loaded."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Final

_PREFIXES: Final = ("AWS_", "BOTO")
_SHUT: Final = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Without these, files in the home folder and the machine's own role would count."""


def shut_out_aws(environ: MutableMapping[str, str]) -> list[str]:
    """Take every variable of AWS's libraries away, and have them look into no file; gives the names taken, sorted."""
    taken = sorted(name for name in environ if name.upper().startswith(_PREFIXES))
    for name in taken:
        del environ[name]
    environ.update(_SHUT)
    return taken
