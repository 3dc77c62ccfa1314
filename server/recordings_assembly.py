"""Puts together what deals with recordings: uploads, reading, sessions and the rights that rest on them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from server.audit_log.service_log import ServiceLog
from server.config import Config
from server.observability.alerts.alerts import Alerts
from server.recordings.disk_room import DiskRoom
from server.recordings.kept import KeptRecordings
from server.recordings.opening import Opening
from server.recordings.reading import Recordings
from server.recordings.recorded_events import EventReading
from server.recordings.session_lists import SessionLists
from server.recordings.sessions.reindexing import Reindexing
from server.recordings.sessions.session_index import SessionIndex
from server.recordings.sessions.session_tokens import SessionTokens
from server.recordings.sessions.sessions import Sessions
from server.recordings.storages import RecordingStorages
from server.recordings.text_search.indexing import TextIndexing
from server.recordings.text_search.text_index import TextIndex
from server.recordings.text_search.text_query import TextQuery
from server.recordings.text_search.text_search import TextSearch
from server.recordings.threads import RecordingThreads
from server.recordings.uploads.custody_proofs import CustodyProofs
from server.recordings.uploads.ending import Endings
from server.recordings.uploads.open_uploads import OpenUploads
from server.recordings.uploads.recovery import recall, recover, recover_spooled
from server.recordings.uploads.settling import Settling
from server.recordings.uploads.upload_ids import UploadIds
from server.recordings.uploads.upload_stream import StreamLimits
from server.recordings.uploads.uploads import UploadLimits, Uploads
from server.recordings.uploads.views import recording_of
from server.state.session_pages import SqlSessionPages
from server.state.uploads import OpenLimits, SqlUploads
from server.storage.ports import StorageError

_log = logging.getLogger(__name__)
_BACKLOG_BYTES = 32 * 1024 * 1024
"""What may wait for being appended in all uploads together."""
_REMOTE_THREADS = 16
"""What may wait for AWS at once, of all External Audit Storages."""


@dataclass(frozen=True, slots=True)
class RecordingsPart:
    """The parts that deal with recordings."""

    uploads: Uploads
    opening: Opening
    lists: SessionLists
    room: DiskRoom
    open_uploads: OpenUploads
    text_search: TextSearch
    text_indexing: TextIndexing
    settling: Settling
    threads: ThreadPoolExecutor
    remote_threads: ThreadPoolExecutor
    text_threads: ThreadPoolExecutor

    def threads_by_name(self) -> dict[str, ThreadPoolExecutor]:
        """The threads, each by what they do."""
        return {
            "recordings": self.threads,
            "remote-recordings": self.remote_threads,
            "text-search": self.text_threads,
        }

    def hold_to(self, config: Config) -> None:
        """Take over the limits of a configuration that was read again. Called on the loop."""
        self.room.floor_bytes = floor_bytes(config)
        self.uploads.limits = upload_limits(config, self.room)
        self.open_uploads.abandoned_after_ms = self.uploads.limits.abandoned_after_ms

    def close(self) -> None:
        """Wait for what the threads do."""
        self.text_threads.shutdown(wait=True, cancel_futures=True)
        self.text_indexing.close()
        self.remote_threads.shutdown(wait=True, cancel_futures=True)
        self.threads.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What recordings need of the rest of the service."""

    storages: RecordingStorages
    others: Callable[[], Iterable[str]]
    """Ids of the storages beside the default one."""
    store: SqlUploads
    pages: SqlSessionPages
    index: SessionIndex
    reindexing: Reindexing
    search_threads: Executor
    """Lists of sessions are read on them."""
    service_log: ServiceLog
    now_ms: Callable[[], int]
    alerts: Alerts
    text_index: Path
    """File of the index of recorded text."""


def assemble(config: Config, around: Surroundings, *, upload_key: bytes, token_key: bytes) -> RecordingsPart:
    """Put the parts together. Uploads whose end a stop interrupted are ended first.

    Raises:
        StorageError, StateFault: the folder or the state database can't be read.
    """
    section = config.recordings
    local = ThreadPoolExecutor(section.workers, "recordings")
    remote = ThreadPoolExecutor(_REMOTE_THREADS, "remote-recordings")
    threads = RecordingThreads(local, remote)
    room = DiskRoom(floor_bytes(config))
    storages, store = around.storages, around.store
    endings = Endings(
        store,
        storages,
        lambda session_id: sessions.servers_of(session_id),
        around.now_ms,
        CustodyProofs(upload_key),
        around.alerts,
    )
    limits = upload_limits(config, room)
    uploads = Uploads(UploadIds(upload_key), store, storages, endings, threads, limits, around.now_ms, around.alerts)
    kept = KeptRecordings(store, uploads.view)
    sessions = Sessions(around.index, around.pages, kept, SessionTokens(token_key), around.search_threads)
    unreadable = recover(store, storages.default, endings) + _recover_others(around)
    around.index.before_building(lambda: recall(store, storages.default))
    settling = Settling(uploads, store, storages, around.others, endings, threads, around.alerts)
    reading, events = Recordings(store, storages, threads, around.now_ms, around.alerts), EventReading(local)
    opening = Opening(reading, sessions, events, around.service_log)
    index = TextIndex(around.text_index)
    indexing = TextIndexing(
        index, lambda: [recording_of(row) for row in store.completed()], store.count_completed, reading
    )
    lists = SessionLists(sessions, around.reindexing, around.service_log, indexing.begin_anew)

    def missing(query: TextQuery, names: bool) -> tuple[str, ...]:
        return indexing.missing(query, names=names)

    # On a thread of its own: one text that is in very many lines takes seconds, and events are searched meanwhile.
    text_threads = ThreadPoolExecutor(1, "text-search")
    text_search = TextSearch(index, missing, sessions, around.service_log, token_key, text_threads)
    open_uploads = OpenUploads(store, uploads.view, limits.abandoned_after_ms, around.now_ms)
    open_uploads.unreadable = unreadable
    return RecordingsPart(
        uploads, opening, lists, room, open_uploads, text_search, indexing, settling, local, remote, text_threads
    )


def _recover_others(around: Surroundings) -> int:
    """What this machine has of uploads to other storages; gives how many of them can't be taken up.

    One that nothing can be said of any more holds up none of the others: its uploads wait.
    """
    failed = 0
    for storage_id in around.others():
        try:
            failed += recover_spooled(around.store, around.storages.of(storage_id))
        except StorageError as error:
            fields = {"storage": storage_id, "reason": str(error)}
            _log.error("a storage's uploads can't be taken up; they wait", extra={"fields": fields})
    return failed


def floor_bytes(config: Config) -> int:
    """Free disk space that recordings must leave."""
    return config.recordings.disk_floor_bytes or 2 * config.journal.disk_floor_bytes


def upload_limits(config: Config, room: DiskRoom) -> UploadLimits:
    """What uploads may take."""
    section = config.recordings
    return UploadLimits(
        StreamLimits(section.max_bytes, room.admit),
        OpenLimits(section.open_uploads_of_identity, section.open_uploads),
        _BACKLOG_BYTES,
        int(section.abandoned_after_seconds * 1000),
        ends_at_once=max(1, section.workers // 2),
    )
