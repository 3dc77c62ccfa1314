"""A feed that follows outlives the service's outages, however long they are."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest
from extaudit_cli.exporting.destination import destination
from extaudit_cli.exporting.progress import Progress
from extaudit_cli.exporting.question import Question
from extaudit_cli.exporting.resumption import Outcome, ResumableExport
from extaudit_client import EventChunks, ExtauditError, Query, TimedOut, Unavailable, WatchedColumns

from tests.crash.export_source import Logs, payload

GONE = Unavailable("UNAVAILABLE", "", "the service isn't there")
SLOW = TimedOut("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "it took too long")
DENIED = ExtauditError("PERMISSION_DENIED", "ACCESS_DENIED", "no")


class Outage(Logs):
    """A service that takes errors one by one from `faults` where it is asked for a list; None lets one list through.

    The first watch breaks off; the next one gives all there is, and then the feed is stopped.
    """

    def __init__(self, *faults: ExtauditError | None) -> None:
        super().__init__({"one": 6}, {"one": (4,)})
        self.faults = list(faults)
        self.stop = threading.Event()
        self.watches = 0

    def chunks(self, query: Query, after: Mapping[str, int]) -> EventChunks:
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        return super().chunks(query, after)

    def watch_columns(
        self, query: Query, after: Mapping[str, int], told: object
    ) -> Generator[WatchedColumns, None, None]:
        self.watches += 1
        if self.watches == 1:
            raise GONE
        for answer in super().watch_columns(query, after, told):
            if answer.caught_up:
                self.stop.set()
            yield answer


def feed(source: Outage, out: Path, lost: list[str]) -> Outcome:
    place = destination(str(out), None, gzip=False, receipts=False, state=None)
    question = Question(Query(storage="followed"), None, None, place.form, place.layout)
    return ResumableExport(
        source,
        place,
        question,
        Progress(quiet=True),
        parallel=1,
        lost=lambda error, seconds: lost.append(error.code),
        stop=source.stop,
        again_seconds=0.0,
    ).run(follow=True)


@pytest.mark.parametrize("fault", [GONE, SLOW], ids=["gone", "slow"])
def test_a_feed_goes_on_after_an_outage_in_which_it_tried_more_than_once(tmp_path: Path, fault: ExtauditError) -> None:
    lists_of_the_first_lap = [None, None]
    source, lost = Outage(*lists_of_the_first_lap, fault, fault), list[str]()
    outcome = feed(source, tmp_path / "out.jsonl", lost)
    assert (outcome.interrupted, outcome.state.place) == (True, {"one": 6})
    assert lost == ["UNAVAILABLE", fault.code, fault.code]
    assert (tmp_path / "out.jsonl").read_bytes().splitlines() == [payload("one", number) for number in range(1, 7)]


@pytest.mark.parametrize("faults", [(GONE,), (None, None, GONE, DENIED)], ids=["never answered", "refused"])
def test_a_feed_ends_where_no_service_ever_answered_or_it_refuses(
    tmp_path: Path, faults: tuple[ExtauditError | None, ...]
) -> None:
    source = Outage(*faults)
    with pytest.raises(ExtauditError) as failed:
        feed(source, tmp_path / "out.jsonl", [])
    assert failed.value is faults[-1]
