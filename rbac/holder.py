"""The policy in use, and how changed files of roles replace it."""

from __future__ import annotations

import enum
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from rbac.errors import PolicyError, PolicyUnreadable
from rbac.policy import Policy, load_policy_folder
from rbac.role_files import role_files_in

_Signature = tuple[tuple[str | int, ...], ...]


class ReloadResult(enum.Enum):
    """What a look at the folder came to."""

    UNCHANGED = "unchanged"
    RELOADED = "reloaded"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """What a look at the folder came to; `error` is set exactly when the files were refused."""

    result: ReloadResult
    error: PolicyError | None = None


class PolicyHolder:
    """Holds the policy in use. Take `current` once per call: the next look may give another.

    Raises:
        PolicyError: when built, if the folder's roles are refused; there is no older policy to stay with.
    """

    def __init__(self, folder: Path | None, account: int | None = None) -> None:
        """`account`: the service's, see `load_policy_folder`."""
        self._folder = folder
        self._account = account
        self._lock = threading.Lock()
        self._signature: _Signature | None = self._sign()
        self._current = load_policy_folder(folder, account)
        self._error: PolicyError | None = None

    @property
    def current(self) -> Policy:
        """The policy in use."""
        return self._current

    @property
    def error(self) -> PolicyError | None:
        """Why the policy in use isn't that of the folder as last looked at; None when it is."""
        return self._error

    def reload_if_changed(self) -> ReloadOutcome:
        """Look at the folder, and load it if a file came, went or changed. Blocks on the disk.

        A refused set of files is reported once, and stays in `error`; one that couldn't be read is tried every time.
        """
        with self._lock:
            try:
                return self._reload_if_changed()
            except PolicyError as error:
                self._error = error
                if isinstance(error, PolicyUnreadable):
                    self._signature = None
                return ReloadOutcome(ReloadResult.REFUSED, error)

    def _reload_if_changed(self) -> ReloadOutcome:
        # Signed before it is read: what changes in between has another signature at the next look.
        signature = self._sign()
        if signature == self._signature:
            return ReloadOutcome(ReloadResult.UNCHANGED)
        self._signature = signature
        self._current = load_policy_folder(self._folder, self._account)
        self._error = None
        return ReloadOutcome(ReloadResult.RELOADED)

    def _sign(self) -> _Signature:
        """Of each file name, mtime, ctime (which no copying tool sets), size, inode; of the folder mode and owner."""
        if self._folder is None:
            return ()
        return (_sign_folder(self._folder), *(_sign_file(path) for path in role_files_in(self._folder)))


def _sign_folder(folder: Path) -> tuple[int, int]:
    try:
        found = os.stat(folder)
    except OSError:
        raise PolicyUnreadable(folder.name, 0, "the folder of roles can't be read") from None
    return found.st_mode, found.st_uid


def _sign_file(path: Path) -> tuple[str, int, int, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        raise PolicyUnreadable(path.name, 0, "can't be read") from None
    return path.name, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
