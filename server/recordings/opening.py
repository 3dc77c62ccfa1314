"""Opening recordings: whether the caller may, which one it is, and the trace of it before its first byte leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from rbac.formulas import ALWAYS, Formula
from server.audit_log.access import Access
from server.errors import InvalidRequest, NotFound, Violation
from server.recordings.format.reader import Item
from server.recordings.recorded_events import EventReading
from server.recordings.recording import Recording

NOT_GIVEN: Final = "there is no such recording, or the caller's conditions don't admit it"
"""What the audit event of a refusal says."""
Given = TypeVar("Given")


class Recordings(Protocol):
    """The recordings that are kept."""

    async def find(self, session_id: str, upload_id: str) -> Recording | None:
        """The session's recording, or the one that this upload made; '' for the former."""
        ...

    def chunks(self, recording: Recording, offset: int, length: int) -> AsyncIterator[bytes]:
        """The bytes of a range, each part checked against its digest before any of it is given.

        Raises:
            DataLoss: a part isn't what was taken. StorageError: it can't be read now.
        """
        ...


class Sessions(Protocol):
    """What is known of sessions."""

    async def refusal(self, access: Access, session_id: str, upload_id: str) -> str:
        """Why the caller's conditions don't admit a session's recording, for the log alone; '' where they do.

        Raises:
            ResourceExhausted, Unavailable: it can't be told now.
        """
        ...


class ReadLog(Protocol):
    """Where the traces of reads go."""

    async def recording_read(self, access: Access, *, session_id: str, **members: object) -> None:
        """Leave the trace of an opened recording, with these members; durable when it returns.

        Raises:
            Unavailable: it couldn't be journalled; nothing must leave.
        """
        ...


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for: the session's recording, or the one that `upload_id` made; a range in bytes."""

    session_id: str
    upload_id: str = ""
    offset: int = 0
    length: int = 0
    """0 for all that follow."""


@dataclass(frozen=True, slots=True)
class OpenRecording(Generic[Given]):
    """A recording whose trace is durable, and what was asked for of it."""

    recording: Recording
    parts: AsyncIterator[Given]
    check_rights: Callable[[], Awaitable[object]]
    """To be called before each piece leaves: raises what a new call would get, once rights that have changed don't
    admit the recording any more."""


class _Admission:
    """Whether the caller may read a recording: asked of its session again whenever the caller's condition has changed.

    Other rights end the stream by themselves; those that depend on the session are known here alone.
    """

    def __init__(self, sessions: Sessions, access: Callable[[], Access], selection: Selection) -> None:
        self._sessions = sessions
        self._access = access
        self._selection = selection
        self._admitted: Formula | None = None

    async def check(self) -> Access:
        """The caller as of now.

        Raises:
            NotFound: the recording isn't for the caller. Whatever `access` and the sessions raise.
        """
        while (access := self._access()).condition != self._admitted:
            if why := await self._sessions.refusal(access, self._selection.session_id, self._selection.upload_id):
                raise _not_found(self._selection, access, why)
            self._admitted = access.condition
        return access


class Opening:
    """Opens recordings, for their bytes or for the events in them."""

    def __init__(self, recordings: Recordings, sessions: Sessions, events: EventReading, log: ReadLog) -> None:
        self._recordings = recordings
        self._events = events
        self._sessions = sessions
        self._log = log

    async def download(self, access: Callable[[], Access], selection: Selection) -> OpenRecording[bytes]:
        """Open a recording for a range of its bytes. `access` gives the caller's rights as of now, or raises.

        Raises:
            NotFound: there is none, or it isn't for the caller; the answer doesn't tell which.
            InvalidRequest: the range begins beyond the end.
            Unavailable: its trace can't be journalled.
        """
        admission = _Admission(self._sessions, access, selection)
        recording, caller = await self._find(admission, selection)
        await self._trace(caller, recording, "download", {"offset": selection.offset, "length": selection.length})
        left = recording.bytes - selection.offset
        if left < 0:
            raise InvalidRequest([Violation("offset", f"must be at most the recording's size, {recording.bytes}")])
        length = min(selection.length or left, left)
        chunks = self._recordings.chunks(recording, selection.offset, length)
        return OpenRecording(recording, chunks, admission.check)

    async def events(
        self,
        access: Callable[[], Access],
        selection: Selection,
        start_index: int,
        convert: Callable[[list[Item]], Given],
    ) -> OpenRecording[Given]:
        """Open a recording for the events in it; gives what `convert`, called on a thread, makes of them by batches.

        Raises:
            NotFound, Unavailable: as `download`.
        """
        admission = _Admission(self._sessions, access, selection)
        recording, caller = await self._find(admission, selection)
        await self._trace(caller, recording, "events", {"start_index": start_index})
        chunks = self._recordings.chunks(recording, 0, recording.bytes)
        return OpenRecording(recording, self._events.batches(chunks, start_index, convert), admission.check)

    async def _trace(self, access: Access, recording: Recording, purpose: str, asked: dict[str, int]) -> None:
        await self._log.recording_read(
            access,
            session_id=recording.session_id,
            upload_id=recording.upload_id,
            storage=recording.storage,
            purpose=purpose,
            asked=asked,
        )

    async def _find(self, admission: _Admission, selection: Selection) -> tuple[Recording, Access]:
        # What the caller may not see isn't looked up at all.
        caller = await admission.check()
        recording = await self._recordings.find(selection.session_id, selection.upload_id)
        if recording is None:
            raise _not_found(selection, caller, "there is no such recording")
        return recording, caller


def _not_found(selection: Selection, access: Access, why: str) -> NotFound:
    # One refusal for all that a condition leaves out and for what isn't there, as the refused may read of it. Without
    # a condition nobody was refused anything.
    hidden, for_log = ("", "") if access.condition == ALWAYS else (NOT_GIVEN, why)
    return NotFound(
        "there is no such recording, or it isn't for you to read",
        hidden=hidden,
        for_log=for_log,
        resource_type="recording",
        resource_name=selection.session_id,
    )
