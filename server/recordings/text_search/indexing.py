"""Indexing in the background: every completed recording, those of before the start as well, one after the other."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

from server.errors import DataLoss, FailedPrecondition
from server.recordings.recorded_events import EventReading
from server.recordings.recording import Recording
from server.recordings.text_search.recorded_text import RecordedText
from server.recordings.text_search.text_index import EXPIRED, Addition, TextIndex
from server.recordings.text_search.text_query import TextQuery, have_expired

_log = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 0.5
"""How often is looked whether recordings have come."""
_RETRY_SECONDS: Final = 30.0
_EXPIRY_SECONDS: Final = 3600.0
"""Between looks at what has expired."""
_TOLD: Final = 20

Answer = TypeVar("Answer")


class Readable(Protocol):
    """Recordings that can be read."""

    def chunks(self, recording: Recording, offset: int, length: int) -> AsyncIterator[bytes]:
        """The bytes of a range, each part checked against its digest."""
        ...

    def expired(self, recordings: Sequence[Recording]) -> Mapping[str, bool]:
        """Whether the time of each is over that its storage's owner stated, by upload id; nothing is said of those of a
        storage that can't be asked now. Blocks."""
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
        self._next_expiry = 0.0
        self._level: tuple[int, int] | None = None
        """How many recordings there were, and how many the index had, when it was seen to have them all."""

    async def run(self) -> None:
        """Index until `stop`."""
        while not self._stopped.is_set():
            try:
                await self._look()
            except Exception:  # whatever it is, searches say what the index misses, and the next look tries again
                _log.exception("recorded text can't be indexed now")
                self._failed = True
            await self._pause(_RETRY_SECONDS if self._failed else _LOOK_SECONDS)

    async def _look(self) -> None:
        if self._anew:
            self._level = None
            await self._on_thread(self._index.forget_all)
            self._anew = False
        if time.monotonic() >= self._next_expiry:
            await self._on_thread(self._let_go_expired)
            self._next_expiry = time.monotonic() + _EXPIRY_SECONDS
        counts = await self._on_thread(self._counts)
        if counts != self._level:
            self._level = None
            await self._index_missing()
            if not self._failed and not self._must_end():
                self._level = counts[0], await self._on_thread(self._index.count)

    def _let_go_expired(self) -> None:
        """What is kept here is kept no longer than the recording: its storage's owner stated how long that is."""
        judged = self._readable.expired(self._completed())
        known, gone = self._index.indexed(), self._index.gone()
        over = {upload_id for upload_id, has_expired in judged.items() if has_expired}
        # They are kept longer now. Of some a stop may have left the words in the file.
        if back := gone.keys() & (judged.keys() - over):
            self._index.take_back(back)
        if over := {each for each in over & known if not gone.get(each)}:
            self._index.let_go(over, lambda: not self._must_end())

    def _counts(self) -> tuple[int, int]:
        return self._count(), self._index.count()

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

    def missing(self, query: TextQuery, *, names: bool) -> tuple[str, ...]:
        """What the index misses, in words; which sessions, and how many of those have expired that the query asks for,
        only with `names`: such a count, by times, tells when each of them began. Blocks."""
        found = ["the index of recorded text is about to be made anew"] if self._anew else []
        # Where counts alone tell that nothing has changed since all was there, it needn't be looked for.
        waiting = [] if self._counts() == self._level else self._waiting()
        if waiting and names:
            found += [f"recording of session {each.session_id}: it waits to be indexed" for each in waiting[:_TOLD]]
            waiting = waiting[_TOLD:]
        found += [f"{len(waiting)} recordings wait to be indexed"] if waiting else []
        if names and (expired := self._index.count_expired(query.from_ms, query.to_ms)):
            found.append(have_expired(expired))
        noted, first = self._index.notes(_TOLD)
        if noted and not names:
            return (*found, f"{noted} recordings aren't wholly indexed")
        found += [f"recording of session {session_id}: {note}" for session_id, note in first]
        if noted > len(first):
            found.append(f"{noted - len(first)} more recordings aren't wholly indexed")
        return tuple(found)

    def _waiting(self) -> list[Recording]:
        known = self._index.indexed()
        return [recording for recording in self._completed() if recording.upload_id not in known]

    async def _index_missing(self) -> None:
        self._failed = False
        for recording in await self._on_thread(self._waiting):
            if self._must_end():
                return
            try:
                await self._add(recording)
            except _Interrupted:
                return
            except Exception:  # whatever it is: one recording never stops the rest, and is told as one that waits
                self._failed = True
                fields = {"session": recording.session_id}
                _log.warning("a recording can't be indexed now", extra={"fields": fields}, exc_info=True)

    def _must_end(self) -> bool:
        return self._stopped.is_set() or self._anew

    async def _add(self, recording: Recording) -> None:
        is_over = await self._on_thread(lambda: self._readable.expired([recording]).get(recording.upload_id, False))
        addition = await self._on_thread(lambda: self._index.add(recording.upload_id, recording.session_id))
        try:
            if is_over:
                await self._on_thread(lambda: addition.end(recording.begun_ms, "", EXPIRED))
                return
            text, note = RecordedText(), ""
            try:
                async for _ in self._events.batches(
                    self._read(recording), 0, lambda items: addition.add(text.lines(items))
                ):
                    pass
            except (DataLoss, FailedPrecondition) as error:
                note = f"{error.message}; what follows isn't indexed"
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
        notes.append("it has more text than is indexed")
    started_ms = recording.begun_ms if text.started_ms is None else text.started_ms
    addition.end(started_ms, text.user, "; ".join(notes))


class _Interrupted(Exception):
    """The recording under way has to wait."""
