"""The data directory: where everything the service keeps lies, and the lock that makes one process its only server."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from server.files import DiskFiles, Files, write_durably
from server.regular_files import open_regular

KEYS_OF_TOKENS = PAGE_TOKENS, SESSION_TOKENS = "page-token.key", "session-token.key"
"""Names of the keys of page tokens of events and of sessions."""
RECORDS_KEY = "batch-records.key"
"""Name of the key that proves batch records."""
KEPT_SECRETS = "known-uids.key", *KEYS_OF_TOKENS, "upload-id.key", RECORDS_KEY
"""Names of all keys in the identity folder that are random bytes and not of a certificate."""
WRAPPING_KEY = "signing-keys.key"
"""Name of the key that encrypts the private halves of signing keys, where the configuration names no other."""

SECRET_BYTES = 32
"""Size of each of them."""

LATER_VERSION = "a later version of extaudit wrote it: start that one, or restore a backup of before the upgrade"
"""The remedy where data has a format that this version doesn't know."""


class DataDirectoryProblem(Exception):
    """The data directory can't be used; the text is for the person who starts the service and names no path."""


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """The places below one folder. Making this object touches nothing."""

    path: Path

    @property
    def journal(self) -> Path:
        """Folder of the journal's logs."""
        return self.path / "journal"

    @property
    def spool(self) -> Path:
        """Folder of encoded batches on their way to a storage."""
        return self.path / "spool"

    @property
    def cache(self) -> Path:
        """Folder of objects of external storages, for searches."""
        return self.path / "cache"

    @property
    def uploads(self) -> Path:
        """Folder of recordings on their way to an external storage, one below it for each; a backup has to have it."""
        return self.storage / "uploads"

    @property
    def storage(self) -> Path:
        """Folder of the embedded storage."""
        return self.path / "storage"

    @property
    def identity(self) -> Path:
        """Folder of the local CAs, certificates and keys."""
        return self.path / "identity"

    @property
    def token_keys(self) -> tuple[Path, ...]:
        """Keys of page tokens. They say how far each log was read, so no copy of this folder may share them."""
        return tuple(self.identity / name for name in KEYS_OF_TOKENS)

    @property
    def state(self) -> Path:
        """The state database."""
        return self.path / "state.db"

    @property
    def roles(self) -> Path:
        """Folder of role files, where the configuration names no other."""
        return self.path / "roles"

    @property
    def policies(self) -> Path:
        """Folder of every policy that was in force, by digest."""
        return self.path / "policies"

    @property
    def ready_file(self) -> Path:
        """File that tells addresses and pid, where the configuration names no other."""
        return self.path / "ready.json"

    @property
    def lock_file(self) -> Path:
        """File that a server holds locked. Its content, a pid, is for people only."""
        return self.path / "lock"

    @property
    def account(self) -> int:
        """Number of the user who serves from it: its owner, or where there is none to be seen this process's."""
        try:
            return os.stat(self.path).st_uid
        except OSError:
            return os.geteuid()

    def acquire(self) -> DirectoryLock:
        """Make the folder durably (0700) if it isn't there, and lock it until `release` or the end of the process.

        Raises:
            DataDirectoryProblem: another process serves from it, or it can't be made or locked.
        """
        try:
            DiskFiles().make_folder(self.path)
            return DirectoryLock(self.lock_file)
        except OSError as error:
            raise DataDirectoryProblem(f"the data directory can't be used ({error.strerror})") from error

    def free_bytes(self) -> int:
        """Bytes that the service may still write on the disk of the data directory.

        Raises:
            OSError: the folder is not there or its disk can't be asked.
        """
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize


class DirectoryLock:
    """An exclusive lock held by this process; the kernel lets it go when the process ends, however it ends."""

    def __init__(self, file: Path) -> None:
        self._fd = open_regular(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        try:
            self._lock()
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let the lock go. The file stays: removing it would let two processes lock two files of one name."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise DataDirectoryProblem(f"another extaudit serve uses this data directory{self._holder()}") from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def _holder(self) -> str:
        content = os.pread(self._fd, 20, 0).strip()
        return f" (process {content.decode()})" if re.fullmatch(rb"[0-9]+", content) else ""


def kept_secret(files: Files, directory: DataDirectory, name: str) -> bytes:
    """A key that is kept: page tokens and known uids outlive a restart.

    Raises:
        DataDirectoryProblem: it isn't as it was made. With a part of it, or nothing, tokens could be forged.
    """
    path = directory.identity / name
    if path.name not in files.list(path.parent):
        write_durably(files, path, secrets.token_bytes(SECRET_BYTES))
    secret = files.read(path)
    if len(secret) != SECRET_BYTES:
        raise DataDirectoryProblem(f"the key {name} is damaged; remove it and a new one is made")
    return secret
