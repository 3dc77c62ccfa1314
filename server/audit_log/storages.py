"""The storages of events that the service knows, and which of them is active."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from server.errors import NotFound
from server.state.catalogue_rows import CatalogueObject
from server.storage.ports import EventStorage, StorageError, Wanted

DEFAULT = "default"
"""The id of the embedded storage, which is always there."""


class UnknownStorage(StorageError):
    """Events belong to a storage, and nothing says where it is."""

    def __init__(self, storage_id: str) -> None:
        super().__init__(f"nothing says where storage {storage_id} is; promote the same place again")


class Storages:
    """The known storages by id. Storages are added while the service runs, and stay. Safe to use from any thread."""

    def __init__(self, *storages: EventStorage, active: str = DEFAULT) -> None:
        """`active` takes new events, until another one does."""
        self._by_id = {storage.storage_id: storage for storage in storages}
        self._activated: tuple[str, ...] = (active,)
        self._read = frozenset({DEFAULT})

    def add(self, storage: EventStorage) -> None:
        """Know one more, or the same one anew."""
        self._by_id = {**self._by_id, storage.storage_id: storage}

    def activate(self, storage_id: str) -> None:
        """The journal's marker says so: events from here on are of this storage."""
        if storage_id != self.active:
            self._activated = (*self._activated, storage_id)

    def was_read(self, storage_id: str) -> None:
        """Every batch that is in this storage is in the catalogue, whatever the state had lost."""
        self._read |= {storage_id}

    @property
    def unread(self) -> frozenset[str]:
        """The known ones of which that isn't so since the start."""
        return frozenset(self._by_id) - self._read

    @property
    def active(self) -> str:
        """The storage that takes new events, as the journal's last marker says."""
        return self._activated[-1]

    @property
    def switches(self) -> int:
        """How many times another storage became active since the start."""
        return len(self._activated) - 1

    def ids(self) -> tuple[str, ...]:
        """The known ones, the default one first."""
        return tuple(self._by_id)

    def all(self) -> tuple[EventStorage, ...]:
        """The known ones, the default one first."""
        return tuple(self._by_id.values())

    def of(self, storage_id: str) -> EventStorage:
        """The storage with this id.

        Raises:
            UnknownStorage: there is none.
        """
        storage = self._by_id.get(storage_id)
        if storage is None:
            raise UnknownStorage(storage_id)
        return storage

    def path_of(self, item: CatalogueObject) -> str:
        """Where an engine on this machine reads an object, once it is there; see EventStorage.local_path.

        Raises:
            UnknownStorage: nothing says where its storage is.
        """
        return self.of(item.storage).local_path(item.name)

    @contextmanager
    def local(
        self, objects: Collection[CatalogueObject], deadline: float | None = None
    ) -> Iterator[Mapping[str, str | StorageError]]:
        """By key, where an engine on this machine reads each object while the block lasts, or why it can't."""
        by_storage: dict[str, list[CatalogueObject]] = {}
        for item in objects:
            by_storage.setdefault(item.storage, []).append(item)
        found: dict[str, str | StorageError] = {}
        wanted_of = {
            storage_id: [Wanted(item.name, item.sha256, item.bytes, item.version) for item in items]
            for storage_id, items in by_storage.items()
        }
        if len(by_storage) > 1:  # all begin to fetch: one that doesn't answer takes the time of no other
            for storage_id, wanted in wanted_of.items():
                with self.of(storage_id).local(wanted, 0.0):
                    pass
        with ExitStack() as held:
            for storage_id, items in by_storage.items():
                wanted = wanted_of[storage_id]
                paths = held.enter_context(self.of(storage_id).local(wanted, deadline))
                found.update({item.key: paths[item.name] for item in items})
            yield found

    @contextmanager
    def one_local(self, item: CatalogueObject) -> Iterator[str]:
        """Where an engine on this machine reads an object while the block lasts.

        Raises:
            StorageError: it can't be had now, isn't there, or was changed.
        """
        with self.local([item]) as found:
            path = found[item.key]
            if isinstance(path, StorageError):
                raise path
            yield path

    def chosen(self, selector: str) -> frozenset[str]:
        """The ids that a caller's choice means: `active` (or ''), `all`, or an id.

        Raises:
            NotFound: there is no such storage.
        """
        if selector == "all":
            return frozenset(self._by_id)
        chosen = selector if selector not in ("", "active") else self.active
        if chosen not in self._by_id:
            raise NotFound("there is no such storage", storage=selector)
        return frozenset((chosen,))
