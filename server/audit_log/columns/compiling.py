"""How the functions of this package are compiled: once a machine, the machine code being kept on disk."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., object])
Array = TypeVar("Array", bound=NDArray[Any])
_LOG = logging.getLogger(__name__)


def _cache_folder() -> Path | None:
    """Where machine code is kept: beside the source, else in the user's cache; None where neither can be written.

    Its name has a digest of all sources of this package: Numba itself only looks at the file of the outermost function,
    and would go on with the old code of one that it calls.
    """
    here = Path(__file__).parent
    sources = b"\0".join(path.read_bytes() for path in sorted(here.glob("*.py")))
    name = f"compiled-{hashlib.sha256(sources).hexdigest()[:16]}"
    user = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folders = [here / "__pycache__" / name]
    if not user.startswith("~"):  # whoever has no home, as in some containers, has no cache there
        folders.append(Path(user) / "extaudit" / name)
    for folder in folders:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return None


_FOLDER = _cache_folder()
if _FOLDER is None:
    _LOG.warning(
        "compiled code can't be kept anywhere, so each start compiles it, which takes some twenty seconds; "
        "have XDG_CACHE_HOME name a folder that this account can write"
    )
else:
    numba.config.CACHE_DIR = str(_FOLDER)


def frozen(values: Array) -> Array:
    """The same array as one that can't be written to: of both kinds each would be compiled by itself."""
    view = values.view()
    view.flags.writeable = False
    return view


def compiled(function: Function) -> Function:
    """Compile at the first call; the code runs without Python's global lock.

    It makes no arrays, and counts no references to those that it is given: counting took more than half of its time.
    Whoever calls it holds them.
    """
    done: Function = numba.njit(function, cache=_FOLDER is not None, nogil=True, _nrt=False)
    return done


def brief(function: Function) -> Function:
    """As `compiled`, but it keeps the lock: for what takes less time than getting the lock back may take."""
    done: Function = numba.njit(function, cache=_FOLDER is not None, _nrt=False)
    return done


def inlined(function: Function) -> Function:
    """As `compiled`, put in place of its calls: for what is called for every token of an event."""
    done: Function = numba.njit(function, cache=_FOLDER is not None, nogil=True, _nrt=False, inline="always")
    return done
