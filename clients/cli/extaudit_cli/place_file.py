"""A file that keeps how far a log was shown, so that the next run goes on from there."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from extaudit_cli.file_lock import locked

_MAX_BYTES = 1024 * 1024
_MAX_SEQUENCE = 2**64


class PlaceProblem(Exception):
    """The file can't be used; the text is one line."""


@contextmanager
def held_place(path: Path) -> Iterator[None]:
    """Keep the file for this process: two that go on from one place would both print what follows it.

    Raises:
        PlaceProblem: another has it, or it couldn't be written.
    """
    with ExitStack() as lock:
        try:
            lock.enter_context(locked(Path(os.path.realpath(path))))
        except BlockingIOError:
            raise PlaceProblem(f"another process is using {path}") from None
        except OSError as error:
            raise PlaceProblem(f"can't write {path}: {error.strerror}") from None
        yield


def read_place(path: Path) -> dict[str, int] | None:
    """The place (log id → last sequence that is done with) in a file; None if there is no file.

    Raises:
        PlaceProblem: it can't be read, or holds no place.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PlaceProblem(f"can't read {path}: {error.strerror}") from None
    try:
        place = json.loads(data)["place"]
        if len(data) > _MAX_BYTES or not all(
            type(done) is int and 0 <= done < _MAX_SEQUENCE for done in place.values()
        ):
            raise ValueError("no place")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise PlaceProblem(f"{path} holds no place in the log; move it away to begin anew") from None
    return {str(log_id): done for log_id, done in place.items()}


def write_place(path: Path, place: Mapping[str, int]) -> None:
    """Put the file there as a whole, durably; a link is followed.

    Raises:
        PlaceProblem: it can't be written; the file of before is still there.
    """
    target = Path(os.path.realpath(path))
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"place": dict(place)}, file)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
        _sync_folder(target.parent)
    except OSError as error:
        raise PlaceProblem(f"can't write {path}: {error.strerror}") from None


def _sync_folder(folder: Path) -> None:
    # A file that a loss of power takes back with its name has the next run begin anew, behind all that came meanwhile.
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
