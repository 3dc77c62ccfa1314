"""Exports that follow: one that reads the stream, one that lists chunks again and again."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from extaudit_client import Client, ExportedEvents, ExtauditError, Query

from tests.crash.switching_load import TYPE, Place

Given = tuple[str, Place]
"""A uid, and where the event is said to be."""
QUERY = Query(types=(TYPE,))


class Following:
    """What came, and how often."""

    def __init__(self) -> None:
        self.streamed = Counter[Given]()
        self.listed = Counter[Given]()
        self._place: dict[str, int] = {}
        self._failed: Exception | None = None

    @contextmanager
    def running(self, client: Client) -> Iterator[None]:
        """Follow by the stream through the block; the client is this one's own, and closed at its end."""
        thread = threading.Thread(target=self._follow, args=(client,))
        thread.start()
        try:
            yield
        finally:
            client.close()
            thread.join()
        assert self._failed is None, self._failed

    def _follow(self, client: Client) -> None:
        try:
            for answer in client.watch_columns(QUERY, {}):
                assert not answer.missing
                for events in answer.events:
                    self.streamed.update(_given(events))
        except ExtauditError as error:
            self._failed = None if error.code == "CANCELLED" else error
        except Exception as error:
            self._failed = error

    def look(self, client: Client) -> None:
        """Export the chunks that are new since the last look, from its place."""
        found = client.chunks(QUERY, self._place)
        assert not found.missing
        for chunk in found.chunks:
            for events in client.export_chunk(chunk, QUERY, self._place.get(chunk.log_id, 0)):
                assert not events.missing
                self.listed.update(_given(events))
        self._place = dict(found.complete_through)


def _given(events: ExportedEvents) -> Iterator[Given]:
    for uid, sequence in zip(events.uids, events.sequences, strict=True):
        yield uid, (events.storage, events.log_id, sequence)
