"""The events in a recording, read on a thread while its bytes come, a bounded number of them at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from typing import Final, TypeVar

from server.recordings.format.reader import Item, RecordingReader
from server.recordings.format.recorded_event import RecordedEvent

BATCH_BYTES: Final = 128 * 1024
BATCH_ITEMS: Final = 1000
_LOOKED_AT: Final = 20_000
"""Items that are looked at before a thread is given back, though none of them is wanted."""

Answer = TypeVar("Answer")


class EventReading:
    """Reads events on threads. Lives on the event loop."""

    def __init__(self, threads: Executor) -> None:
        self._threads = threads

    async def batches(
        self, chunks: AsyncIterator[bytes], start_index: int, convert: Callable[[list[Item]], Answer]
    ) -> AsyncIterator[Answer]:
        """What `convert` makes of the items, batch by batch; it is called on a thread.

        A batch ends at BATCH_ITEMS items or at the item with which its events reach BATCH_BYTES. Events below
        `start_index` are left out; one without an index isn't.
        """
        reader = RecordingReader()
        async for data in chunks:
            async for batch in self._batches(reader.feed(data), start_index, convert):
                yield batch
        async for batch in self._batches(reader.finish(), start_index, convert):
            yield batch

    async def _batches(
        self, items: Iterator[Item], start_index: int, convert: Callable[[list[Item]], Answer]
    ) -> AsyncIterator[Answer]:
        loop = asyncio.get_running_loop()

        def work() -> tuple[Answer | None, bool]:
            batch, ended = _take(items, start_index)
            return convert(batch) if batch else None, ended

        ended = False
        while not ended:
            answer, ended = await loop.run_in_executor(self._threads, work)
            if answer is not None:
                yield answer


def _take(items: Iterator[Item], start_index: int) -> tuple[list[Item], bool]:
    """The next batch, and whether the items are at their end."""
    batch: list[Item] = []
    size = 0
    for looked_at, item in enumerate(items, 1):
        if not isinstance(item, RecordedEvent):
            batch.append(item)
        elif item.index is None or item.index >= start_index:
            batch.append(item)
            size += len(item.raw)
        if len(batch) >= BATCH_ITEMS or size >= BATCH_BYTES or looked_at >= _LOOKED_AT:
            return batch, False
    return batch, True
