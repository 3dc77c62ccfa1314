"""What waits for a storage that is gone for good, taken to the default one by an administrator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from server.audit_log.access import Access
from server.audit_log.diverting import Backlog, Diverting
from server.errors import FailedPrecondition, InvalidRequest, Violation
from server.external_storage.events import diverted_event
from server.external_storage.in_turn import InTurn
from server.external_storage.placement import DEFAULT_STORAGE
from server.external_storage.storage import Stage
from server.state.asking import in_state
from server.state.external_storages import SqlExternalStorages
from server.state.uploads import SqlUploads, UploadRow

_MOST_CHARACTERS = 128


@dataclass(frozen=True, slots=True)
class DiversionRequest:
    """A diversion that is asked for; one for show changes nothing."""

    storage_id: str
    to: str
    reason: str = ""
    for_show: bool = False


@dataclass(frozen=True, slots=True)
class Diverted:
    """What was diverted, or would be; and the uploads to the storage that aren't complete, which stay as they are."""

    backlog: Backlog
    uploads: Sequence[UploadRow]


class Backlogs:
    """Diverts backlogs. Lives on the event loop."""

    def __init__(self, store: SqlExternalStorages, diverting: Diverting, uploads: SqlUploads, in_turn: InTurn) -> None:
        """`in_turn` is that of promotions: a storage can't become active while its backlog is diverted."""
        self._store = store
        self._diverting = diverting
        self._uploads = uploads
        self._in_turn = in_turn

    async def divert(self, access: Access, request: DiversionRequest) -> Diverted:
        """Divert what waits for a storage; once more, what has come to wait since, which is nothing.

        Raises:
            InvalidRequest: it is none that can be diverted from, or to.
            NotFound: nothing ever went to such a storage.
            FailedPrecondition: it is active (STORAGE_ACTIVE).
            Unavailable: it isn't done, or not known to be; a restart may find it done.
        """
        if violations := _violations(request):
            raise InvalidRequest(violations)
        backlog = await self._in_turn.do(in_state(partial(self._divert, access, request)))
        return Diverted(backlog, await in_state(partial(self._open_uploads, request.storage_id)))

    def _divert(self, access: Access, request: DiversionRequest) -> Backlog:
        with self._store.reading() as view:
            cluster = view.storage(Stage.CLUSTER.value)
        if cluster is not None and cluster.storage_id == request.storage_id:
            # The journals may not have come to know yet.
            raise FailedPrecondition(
                "this storage is in force; disable it, or promote another one first",
                reason="STORAGE_ACTIVE",
                storage=request.storage_id,
            )
        if request.for_show:
            return self._diverting.backlog(request.storage_id)
        event = partial(diverted_event, access, request.storage_id, request.to, request.reason)
        return self._diverting.divert(request.storage_id, request.to, event)

    def _open_uploads(self, storage_id: str) -> list[UploadRow]:
        return [row for row in self._uploads.open() if row.storage == storage_id]


def _violations(request: DiversionRequest) -> list[Violation]:
    found = []
    if not 0 < len(request.storage_id) <= _MOST_CHARACTERS:
        found.append(Violation("storage_id", "must be the id of a storage"))
    elif request.storage_id == DEFAULT_STORAGE:
        found.append(Violation("storage_id", "must be another storage than the default one"))
    if request.to != DEFAULT_STORAGE:
        found.append(Violation("to", "must be default: only what is on the service's own disk takes up what waits"))
    return found
