"""What a running server delivers in the middle of a check is no fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.config import Config
from server.data_directory import DataDirectory
from server.doctor import batch_records, event_objects, journal
from server.doctor.data_at_hand import DataAtHand
from server.doctor.findings import Finding, Told
from server.doctor.reading_files import ReadingFiles
from server.state.examining import examining
from server.storage.embedded.recordings import EmbeddedRecordings
from server.storage.embedded.storage import EmbeddedStorage
from tests.e2e.doctored import QUICK_CUTS, delivered
from tests.running_server import running_server

EVENT = b'{"event":"a","time":"2026-11-20T12:00:00Z"}'


class DeliveredMeanwhile(EmbeddedStorage):
    """Others are delivered right before each listing: what the journal had, and a batch that nobody has heard of."""

    def __init__(self, folder: Path, deliver: Callable[[], None]) -> None:
        super().__init__(ReadingFiles(), folder)
        self.deliver = deliver

    def dates(self) -> list[str]:
        self.deliver()
        self.deliver()
        return super().dates()

    def list_records(self, *, hidden: bool = False) -> Iterator[str]:
        self.deliver()
        self.deliver()
        return super().list_records()


class TrimmedMeanwhile(ReadingFiles):
    """What the journal had is delivered right before it is first listed."""

    def __init__(self, folder: Path, deliver: Callable[[], None]) -> None:
        self._folder = folder
        self._deliver = deliver
        self._is_first = True

    def list(self, folder: Path) -> list[str]:
        if folder == self._folder and self._is_first:
            self._is_first = False
            self._deliver()
        return super().list(folder)


@contextmanager
def at_hand(folder: Path) -> Iterator[tuple[DataAtHand, Callable[[], None]]]:
    """A served directory with one batch, and a way to have another delivered."""
    with running_server(folder, *QUICK_CUTS) as server, server.client() as client:
        directory = DataDirectory(server.data_dir)

        def deliver() -> None:
            client.emit(EVENT)
            delivered(client)
            client.emit(EVENT)  # which the journal has for a moment

        deliver()
        with examining(directory.state) as state:
            files = ReadingFiles()
            events = EmbeddedStorage(files, directory.storage / "events")
            recordings = EmbeddedRecordings(files, directory.storage / "recordings")
            config = Config(directory.path)
            now = datetime.now(UTC)
            yield (
                DataAtHand(config, (), None, files, state, events, recordings, now, deep=True, read=lambda _: None),
                deliver,
            )


def findings(told: Told) -> list[Finding]:
    return [each for each in told if isinstance(each, Finding)]


@pytest.mark.parametrize("check", [event_objects.check, batch_records.check])
def test_a_batch_that_comes_right_before_the_listing_is_no_fault(
    tmp_path: Path, check: Callable[[DataAtHand], Told]
) -> None:
    with at_hand(tmp_path) as (at, deliver):
        events = DeliveredMeanwhile(at.directory.storage / "events", deliver)
        assert findings(check(replace(at, events=events))) == []


def test_a_segment_that_is_trimmed_while_the_journal_is_read_is_no_hole(tmp_path: Path) -> None:
    with at_hand(tmp_path) as (at, deliver):
        files = TrimmedMeanwhile(at.directory.journal, deliver)
        assert findings(journal.check(replace(at, files=files))) == []
