"""Indexing in the background: every completed recording, those of before the start as well, one after the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

from server.errors import AuditStoreError, DataLoss
from server.recordings.recorded_events import EventReading
from server.recordings.recording import Recording
from server.recordings.text_search.recorded_text import RecordedText
from server.recordings.text_search.text_index import Addition, TextIndex

_log = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 0.5
"""How often is looked whether recordings have come."""
_RETRY_SECONDS: Final = 30.0
_TOLD: Final = 20

Answer = TypeVar("Answer")


class Readable(Protocol):
    """Recordings that can be read."""

    def chunks(self, recording: Recording, offset: int, length: int) -> AsyncIterator[bytes]:
        """The bytes of a range, each part checked against its digest."""
        ...


class TextIndexing:
    """Keeps the index level with the recordings. Lives on the event loop; the work is done on a thread of its own."""

    def __init__(
        self,
        index: TextIndex,
        completed: Callable[[], list[Recording]],
        count_completed: Callable[[], int],
        readable: Readable,
    ) -> None:
        """`completed` gives all complete recordings, those kept aside too; both it and its count block."""
        self._index = index
        self._completed = completed
        self._count = count_completed
        self._readable = readable
        self._thread = ThreadPoolExecutor(1, "recorded-text")
        self._events = EventReading(self._thread)
        self._stopped = asyncio.Event()
        self._failed = False
        self._anew = False

    async def run(self) -> None:
        """Index until `stop`."""
        level_at = -1
        while not self._stopped.is_set():
            try:
                if self._anew:
                    await self._on_thread(self._index.forget_all)
                    self._anew = False
                count = await self._on_thread(self._count)
                if count != level_at or count != await self._on_thread(self._index.count):
                    await self._index_missing()
                    level_at = -1 if self._failed else count
            except Exception:  # whatever it is, searches say what the index misses, and the next look tries again
                _log.exception("recorded text can't be indexed now")
                self._failed = True
            await self._pause(_RETRY_SECONDS if self._failed else _LOOK_SECONDS)

    def stop(self) -> None:
        """Make `run` return; a recording that is under way is indexed after the next start."""
        self._stopped.set()

    def close(self) -> None:
        """Wait for the thread, and close the index."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._index.close()

    def begin_anew(self) -> None:
        """Have the index thrown away and made anew; searches tell how far that is."""
        self._anew = True

    def missing(self, *, names: bool) -> tuple[str, ...]:
        """What the index misses, in words; which sessions only with `names`. Blocks."""
        waiting = max(self._count() - self._index.count(), 0)
        found = ["the index of recorded text is about to be made anew"] if self._anew else []
        found += [f"{waiting} recordings wait to be indexed"] if waiting else []
        noted, first = self._index.notes(_TOLD)
        if noted and not names:
            return (*found, f"{noted} recordings aren't wholly indexed")
        found += [f"recording of session {session_id}: {note}" for session_id, note in first]
        if noted > len(first):
            found.append(f"{noted - len(first)} more recordings aren't wholly indexed")
        return tuple(found)

    async def _index_missing(self) -> None:
        self._failed = False
        known = await self._on_thread(self._index.indexed)
        for recording in await self._on_thread(self._completed):
            if self._must_end():
                return
            if recording.upload_id not in known:
                try:
                    await self._add(recording)
                except _Interrupted:
                    return
                except AuditStoreError as error:  # one recording never stops the rest
                    self._failed = True
                    fields = {"session": recording.session_id, "reason": error.message}
                    _log.warning("a recording can't be indexed now", extra={"fields": fields})

    def _must_end(self) -> bool:
        return self._stopped.is_set() or self._anew

    async def _add(self, recording: Recording) -> None:
        addition = await self._on_thread(lambda: self._index.add(recording.upload_id, recording.session_id))
        try:
            text, note = RecordedText(), ""
            try:
                async for _ in self._events.batches(
                    self._read(recording), 0, lambda items: addition.add(text.lines(items))
                ):
                    pass
            except DataLoss:
                note = "a part of it isn't what was taken; what follows isn't indexed"
            await self._on_thread(lambda: _end(addition, recording, text, note))
        except BaseException:
            await self._on_thread(addition.give_up)
            raise

    async def _read(self, recording: Recording) -> AsyncIterator[bytes]:
        async for chunk in self._readable.chunks(recording, 0, recording.bytes):
            if self._must_end():
                raise _Interrupted
            yield chunk

    async def _on_thread(self, work: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopped.wait(), seconds)
        except TimeoutError:
            return


def _end(addition: Addition, recording: Recording, text: RecordedText, note: str) -> None:
    addition.add(text.finish())
    notes = [note] if note else []
    if text.unread:
        notes.append(f"{text.unread} places of it couldn't be read")
    if text.is_cut:
        notes.append("it has more lines than are indexed")
    started_ms = recording.begun_ms if text.started_ms is None else text.started_ms
    addition.end(started_ms, text.user, "; ".join(notes))


class _Interrupted(Exception):
    """The recording under way has to wait."""
