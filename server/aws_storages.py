"""The external storages as the state has them, opened: each with the way to its bucket as of now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from server.audit_log.storages import UnknownStorage
from server.config import Config
from server.data_directory import DataDirectory
from server.external_storage.kept import options_of, spec_of
from server.external_storage.planning import infrastructure_plan, wanted_table
from server.external_storage_assembly import aws_settings
from server.files import Files
from server.integrations.integration import RoleArn
from server.integrations.web_identity import WebIdentityTokens
from server.observability.athena_metrics import AthenaMetrics
from server.state.active_storage import PlacedStorage, placed_storages
from server.state.database import Database, StateFault
from server.storage.aws.athena.budget import ReadBudget
from server.storage.aws.athena.executor import AthenaExecutor, Ended
from server.storage.aws.athena.finder import AthenaFinder, Way
from server.storage.aws.clients import AwsClients, AwsSettings
from server.storage.aws.event_storage import S3EventStorage
from server.storage.aws.object_cache import ObjectCache
from server.storage.aws.place import Connection, Place
from server.storage.aws.recordings import S3Recordings
from server.storage.aws.stored_objects import loses_versions
from server.storage.embedded.upload_folders import UploadFolders
from server.storage.ports import StorageError
from server.storage.recording_port import UploadSpool
from server.storage.spec import S3Location, StorageSpec

_SENDERS = 4
"""Parts of recordings that are sent ahead at once."""
_FRESH_SECONDS = 5.0
"""How long what the state says of roles and keys counts without another look."""


def aws_storages(
    config: Config,
    directory: DataDirectory,
    files: Files,
    tokens: WebIdentityTokens,
    metrics: AthenaMetrics,
    state: Database,
) -> AwsStorages:
    """The storages of a state, with their cache in the data directory."""
    cache = ObjectCache(directory.cache, config.external_storage.cache_bytes, config.aws.workers)
    section = config.athena

    def ended(query: Ended) -> None:
        metrics.ended(query.how, query.seconds, query.bytes, query.requests)

    budget = ReadBudget(section.budget_bytes, section.budget_seconds, time.monotonic)
    executor = AthenaExecutor(section.queries, budget, ended)

    def spool(storage_id: str) -> UploadFolders:
        return UploadFolders(files, directory.uploads / storage_id)

    return AwsStorages(state, tokens, aws_settings(config.aws), cache, executor, config.cluster_name, spool)


class AwsStorages:
    """Opens storages, and keeps the clients of each. Safe to use from several threads."""

    def __init__(
        self,
        state: Database,
        tokens: WebIdentityTokens,
        settings: AwsSettings,
        cache: ObjectCache,
        executor: AthenaExecutor,
        cluster_name: str,
        spool: Callable[[str], UploadSpool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._tokens = tokens
        self._settings = settings
        self._cache = cache
        self._executor = executor
        self._cluster_name = cluster_name
        self._spool = spool
        self._senders = ThreadPoolExecutor(_SENDERS, "recording-parts")
        self._finders: dict[str, AthenaFinder] = {}
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._placed: dict[str, PlacedStorage] = {}
        self._clients: dict[tuple[str, str, str], AwsClients] = {}
        """By region, role and integration."""

    def ids(self) -> Sequence[str]:
        """Every storage that is or was in force."""
        with self._lock:
            return sorted(self._look())

    def open(self, storage_id: str) -> S3EventStorage:
        """The storage with this id. Connects to nothing.

        Raises:
            UnknownStorage: the state doesn't know it.
        """
        self._know(storage_id)
        return S3EventStorage(storage_id, partial(self._connection, storage_id, _events), self._cache)

    def open_recordings(self, storage_id: str) -> S3Recordings:
        """The recordings of the storage with this id. Connects to nothing.

        Raises:
            UnknownStorage: the state doesn't know it.
        """
        self._know(storage_id)
        connect = partial(self._connection, storage_id, _recordings)
        return S3Recordings(storage_id, self._spool(storage_id), connect, self._senders)

    def _know(self, storage_id: str) -> None:
        with self._lock:
            self._looked_at = float("-inf")  # it may be in force since a moment
            if storage_id not in self._look():
                raise UnknownStorage(storage_id)
            if storage_id not in self._finders:
                self._finders[storage_id] = AthenaFinder(partial(self._way, storage_id), self._executor)

    def without_versions(self, storage_id: str) -> Sequence[str]:
        """The buckets of a storage that are to keep versions and don't any more.

        Raises:
            StorageError: S3 doesn't say it now.
        """
        ways = [self._connection(storage_id, location) for location in (_events, _recordings)]
        buckets = {way.place.location.bucket: way for way in ways}
        return sorted(bucket for bucket, way in buckets.items() if loses_versions(way))

    def finder(self, storage_id: str) -> AthenaFinder | None:
        """Athena for one of the storages that were opened; None for what is none of them. Connects to nothing."""
        return self._finders.get(storage_id)  # without the lock: the event loop asks

    def problems(self) -> list[str]:
        """By integration, why the last attempt to get credentials failed; the old ones may be valid yet."""
        found = [(name, each.credentials.problem) for (_, _, name), each in list(self._clients.items())]
        return [f"integration {name}: {problem}" for name, problem in found if problem is not None]

    def give_up(self) -> None:
        """Have what waits for AWS end soon: a stop waits for it."""
        with self._lock:
            for clients in self._clients.values():
                clients.give_up()

    def close(self) -> None:
        """Wait for what is being sent, and close all connections."""
        self._senders.shutdown(wait=True, cancel_futures=True)
        self._executor.close()
        with self._lock:
            for clients in self._clients.values():
                clients.close()
        self._cache.close()

    def _look(self) -> dict[str, PlacedStorage]:
        """What the state says, at most _FRESH_SECONDS old; called with the lock held."""
        if self._clock() - self._looked_at >= _FRESH_SECONDS:
            try:
                self._placed = placed_storages(self._state)
            except StateFault as error:
                if not self._placed:
                    raise StorageError("the state database can't be read now") from error
            self._looked_at = self._clock()
            self._leave_former()
        return self._placed

    def _leave_former(self) -> None:
        """Renew the credentials of no role that nothing is reached by any more; what is under way there ends well."""
        reached = {(spec_of(each.spec).region, each.role_arn, each.integration) for each in self._placed.values()}
        for key in self._clients.keys() - reached:
            self._clients.pop(key).credentials.stop()

    def _found(self, storage_id: str) -> PlacedStorage:
        with self._lock:
            placed = self._look().get(storage_id)
        if placed is None:
            raise UnknownStorage(storage_id)
        return placed

    def _connection(self, storage_id: str, location: Callable[[StorageSpec], S3Location]) -> Connection:
        placed = self._found(storage_id)
        options, store = options_of(placed.options), self._settings.store
        where = location(spec_of(placed.spec))
        place = Place(where, placed.account_id, options.kms_key_arn, store, options.retention_days)
        return Connection(lambda: self._clients_of(placed).s3, place)

    def _way(self, storage_id: str) -> Way:
        placed = self._found(storage_id)
        spec, role = spec_of(placed.spec), _role_of(placed)
        plan = infrastructure_plan(spec, options_of(placed.options), role, self._cluster_name)
        clients = self._clients_of(placed)
        return Way(clients.athena, clients.glue, spec, wanted_table(plan.glue), placed.account_id)

    def _clients_of(self, placed: PlacedStorage) -> AwsClients:
        _role_of(placed)
        key = spec_of(placed.spec).region, placed.role_arn, placed.integration
        with self._lock:
            clients = self._clients.get(key)
            if clients is None:
                token = partial(self._tokens.token, placed.integration)
                clients = self._clients[key] = AwsClients(key[0], placed.role_arn, token, self._settings)
                clients.start()
        return clients


def _role_of(placed: PlacedStorage) -> RoleArn:
    """The role that reaches a storage. Refused, before AWS is asked, is what no role reaches. The text is told to
    whoever searches, so it has no names of AWS."""
    role, name = RoleArn.parse(placed.role_arn), placed.integration
    if role is None:
        text = f"integration {name} was deleted; create one of that name, with a role of the same account"
        raise StorageError(f"the storage is reached by nothing: {text}")
    if role.account_id != placed.account_id:
        text = "is of another account now; give it one of the account that the storage is in"
        raise StorageError(f"the storage is reached by nothing: the role of integration {name} {text}")
    return role


def _events(spec: StorageSpec) -> S3Location:
    return spec.events


def _recordings(spec: StorageSpec) -> S3Location:
    return spec.recordings
