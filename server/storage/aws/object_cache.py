"""The local cache of stored objects: bounded by size, given up by use, each object fetched once and compared.

Objects never change, so what was fetched stays right; what is on the disk when the service starts is compared before
it is first used. Nothing here is needed: a cache that is lost costs fetching.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from server.regular_files import open_regular
from server.storage.ports import (
    LocalPaths,
    ObjectArchived,
    ObjectChanged,
    ObjectMissing,
    ObjectUnreadable,
    StorageError,
    StorageTimeout,
    Wanted,
)

_CHUNK = 1024 * 1024
_PART = ".part"
_OTHERS = "_others"
_ATTEMPTS = 3

Read = Callable[[Callable[[bytes], object]], None]
"""Hands bytes on, piece after piece; raises StorageError."""
Fetch = Callable[[Wanted], Iterator[Read]]
"""The ways to an object's bytes, the likeliest first. The next is tried where one leads to none, to other bytes, or to
what can't be read for what it is."""
_IS_NOT_IT = (ObjectMissing, ObjectChanged, ObjectArchived, ObjectUnreadable)


@dataclass(slots=True)
class _Entry:
    """An object on the disk."""

    bytes: int
    compared: bool
    """Whether its digest was compared since the start."""
    users: int = 0
    """How many read it now: as long as there are any it stays."""
    goes: bool = False
    """Whether it is given up then, whatever room there is."""


class ObjectCache:
    """Objects of all external storages in one folder. Safe to use from several threads."""

    def __init__(self, folder: Path, most_bytes: int, workers: int) -> None:
        """At most `most_bytes` are kept, and what is read just now; `workers` objects of a storage are fetched at once:
        one that hangs keeps no other from being read."""
        self._folder = folder
        self._most_bytes = most_bytes
        self._workers = workers
        self._threads: dict[str, ThreadPoolExecutor] = {}
        """By storage."""
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        """By path, that which was used last at the end."""
        self._fetching: dict[str, Future[None]] = {}
        self.bytes = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, size in _left(folder):
            self._entries[path] = _Entry(size, compared=False)
            self.bytes += size
        with self._lock:
            self._give_up()

    def path(self, storage: str, name: str) -> str:
        """Where an object is once it was fetched. Storage and name are those that the service made."""
        return f"{self._folder}/{storage}/{name}"

    def path_of(self, storage: str, item: Wanted) -> str:
        """The same of a version. Others chose its object's name, which becomes no path."""
        if not item.version:
            return self.path(storage, item.name)
        digest = hashlib.sha256(f"{item.name}\0{item.version}".encode()).hexdigest()
        return self.path(storage, f"{_OTHERS}/{digest}.parquet")

    @contextmanager
    def held(
        self, storage: str, objects: Sequence[Wanted], fetch: Fetch, deadline: float | None
    ) -> Iterator[LocalPaths]:
        """Have objects on the disk while the block lasts, or say of each why it isn't."""
        held: list[str] = []
        try:
            waiting = [(item, self._begin(storage, item, fetch)) for item in objects]
            found: dict[str, str | StorageError] = {}
            for item, fetching in waiting:
                try:
                    path = self._awaited(storage, item, fetch, fetching, deadline)
                except StorageError as error:
                    found[item.name] = error
                else:
                    held.append(path)
                    found[item.name] = path
            yield found
        finally:
            self._let_go(held)

    def _awaited(self, storage: str, item: Wanted, fetch: Fetch, fetching: Future[None], deadline: float | None) -> str:
        """The path of an object once it is there and held."""
        path = self.path_of(storage, item)
        for _ in range(_ATTEMPTS):
            try:
                fetching.result(None if deadline is None else max(0.0, deadline - monotonic()))
            except TimeoutError:
                raise StorageTimeout from None
            except CancelledError:
                raise StorageError("the service is stopping") from None
            if self._hold(path):
                return path
            fetching = self._begin(storage, item, fetch)  # given up in between, for what others fetch
        raise StorageError("the cache is too small for what is read at once")

    def take(self, storage: str, name: str, spool_path: str, size: int) -> None:
        """Keep what was just delivered: the spooled file gets its name here as well, where that can be."""
        path = self.path(storage, name)
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            os.link(spool_path, path)
            self._add(path, size)

    def keep(self, storage: str, name: str, data: bytes) -> None:
        """The same of what was in memory."""
        path = self.path(storage, name)
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(part := f"{path}.kept{_PART}", "wb", opener=open_regular) as file:
                file.write(data)
            os.replace(part, path)
            self._add(path, len(data))

    def empty(self, storage: str) -> None:
        """Give up what is kept of a storage; what is read just now goes once it is read."""
        below = self.path(storage, "")
        with self._lock:
            for path, entry in list(self._entries.items()):
                if path.startswith(below):
                    entry.goes = True
                    self._give_up_if_free(path, entry)

    def close(self) -> None:
        """Wait for what is being fetched."""
        with self._lock:
            threads = list(self._threads.values())
        for each in threads:
            each.shutdown(wait=True, cancel_futures=True)

    def _begin(self, storage: str, item: Wanted, fetch: Fetch) -> Future[None]:
        """Fetch an object, unless it is there or somebody does so already."""
        path = self.path_of(storage, item)
        with self._lock:
            entry = self._entries.get(path)
            fetching = self._fetching.get(path)
            if fetching is None:
                if entry is not None and entry.compared:
                    done: Future[None] = Future()
                    done.set_result(None)
                    return done
                if storage not in self._threads:
                    self._threads[storage] = ThreadPoolExecutor(self._workers, "fetching")
                fetching = self._fetching[path] = self._threads[storage].submit(self._bring, path, item, fetch)
        return fetching

    def _bring(self, path: str, item: Wanted, fetch: Fetch) -> None:
        try:
            if not self._is_as_wanted(path, item):
                self._fetch(path, item, fetch)
        except OSError as error:
            raise StorageError("the cache can't be written") from error
        finally:
            with self._lock:
                del self._fetching[path]

    def _is_as_wanted(self, path: str, item: Wanted) -> bool:
        """Whether what an earlier process left is the object."""
        with self._lock:
            entry = self._entries.get(path)
        if entry is None:
            return False
        try:
            with open(path, "rb", opener=open_regular) as file:
                same = hashlib.file_digest(file, "sha256").hexdigest() == item.sha256
        except OSError:
            same = False
        with self._lock:
            if not same:
                self._remove(path)
            elif (entry := self._entries.get(path)) is not None:
                entry.compared = True
        return same

    def _fetch(self, path: str, item: Wanted, fetch: Fetch) -> None:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        reason: StorageError | None = None
        try:
            for read in fetch(item):
                try:
                    return self._fetch_by(read, path, item)
                except _IS_NOT_IT as error:
                    reason = reason or error
        except StorageError as error:
            raise reason or error from error
        raise reason or ObjectMissing

    def _fetch_by(self, read: Read, path: str, item: Wanted) -> None:
        part, digest, size = f"{path}{_PART}", hashlib.sha256(), 0
        try:
            with open(part, "wb", opener=open_regular) as file:

                def take(piece: bytes) -> None:
                    nonlocal size
                    size += len(piece)
                    if size > item.bytes:
                        raise ObjectChanged
                    digest.update(piece)
                    file.write(piece)

                read(take)
            if item.sha256 and digest.hexdigest() != item.sha256:
                raise ObjectChanged
            os.replace(part, path)
        except BaseException:  # what is left lying counts for nobody, and nobody would remove it before the next start
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise
        self._add(path, size)

    def _add(self, path: str, size: int) -> None:
        with self._lock:
            if (entry := self._entries.get(path)) is None:
                entry = self._entries[path] = _Entry(0, compared=True)
            self.bytes += size - entry.bytes
            entry.bytes, entry.compared = size, True  # those who read it go on doing so
            self._give_up(but=path)

    def _hold(self, path: str) -> bool:
        with self._lock:
            entry = self._entries.get(path)
            if entry is None or not entry.compared:
                return False
            entry.users += 1
            self._entries.move_to_end(path)
            return True

    def _let_go(self, held: Sequence[str]) -> None:
        with self._lock:
            for path in held:
                entry = self._entries[path]
                entry.users -= 1
                self._give_up_if_free(path, entry)
            self._give_up()

    def _give_up_if_free(self, path: str, entry: _Entry) -> None:
        if entry.goes and not entry.users:
            self._remove(path)

    def _give_up(self, but: str = "") -> None:
        """Remove what was used longest ago until the rest fits; called with the lock held."""
        if self.bytes <= self._most_bytes:
            return
        for path, entry in list(self._entries.items()):
            if self.bytes <= self._most_bytes:
                return
            if not entry.users and path != but:
                self._remove(path)

    def _remove(self, path: str) -> None:
        entry = self._entries.pop(path, None)
        if entry is not None:
            self.bytes -= entry.bytes
            with contextlib.suppress(OSError):
                os.unlink(path)


def _left(folder: Path) -> list[tuple[str, int]]:
    """What an earlier process left, that which was used longest ago first; what it was fetching is removed."""
    found = []
    for at, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            if name.endswith(_PART):
                os.unlink(path)
                continue
            state = os.stat(path)
            found.append((state.st_mtime_ns, path, state.st_size))
    return [(path, size) for _, path, size in sorted(found)]
