"""Reading events raises the alert of the storage that failed, and of no other; callers' own mistakes raise none."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from server.audit_log.search.narrowing import Narrowing
from server.audit_log.search.outcomes import Outcomes
from server.audit_log.search.query import EventSelector, Missing, MissingReason, SearchQuery
from server.audit_log.search.search import Search
from server.audit_log.search.tokens import PageTokens
from server.audit_log.stored_batches import StoredBatches
from server.errors import AuditStoreError, InvalidRequest, NotFound, Unavailable
from server.files import DiskFiles
from server.observability.alerts.alerts import Alerts
from server.observability.alerts.kinds import AlertKind
from server.storage.embedded.storage import EmbeddedStorage
from server.storage.finding import FinderFailed, Finding, FindRequest
from server.storage.ports import LocalPaths, StorageError, StorageTimeout, Wanted
from server.storage.query import Filters
from tests.contract.search_rig import ALICE, TOKEN_KEY, SearchRig, duck_engine, event_json

FAR = "far"


class Away(EmbeddedStorage):
    """Gives no object while there is an error; what is there is told all the same."""

    compares_digests = True
    error: StorageError | None = None

    @contextlib.contextmanager
    def local(self, objects: Sequence[Wanted], deadline: float | None = None) -> Iterator[LocalPaths]:
        with super().local(objects, deadline) as found:
            yield found if Away.error is None else dict.fromkeys(found, Away.error)


@contextlib.contextmanager
def two_storages(folder: Path) -> Iterator[SearchRig]:
    """One event of the default storage, then one of another; both delivered."""
    rig = SearchRig(folder, duck_engine(folder), others=(FAR,), open_other=lambda at, name: Away(DiskFiles(), at, name))
    for uid, storage in (("here", "default"), ("there", FAR)):
        rig.log.writer.switch(storage)
        rig.emit(event_json(uid))
        rig.cut()
        rig.delivery_to(storage).deliver_next()
    yield rig
    rig.close()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchRig]:
    with two_storages(tmp_path_factory.mktemp("stored")) as rig:
        yield rig


@pytest.fixture
def rig(stored: SearchRig) -> SearchRig:
    """Nothing is written to it."""
    Away.error = None
    return stored


class Failing:
    """Athena that gives no answer, which no sandbox does at will for one object."""

    def find(self, request: FindRequest, deadline: float) -> Finding:
        raise FinderFailed("the query failed")


class Counted:
    """Searches, and the alerts that they raise."""

    def __init__(self, rig: SearchRig, narrowing: Narrowing | None = None, takes: float = 0.0) -> None:
        """By their clock, each search `takes` so many seconds."""
        self.alerts = Alerts()
        outcomes = Outcomes(self.alerts, itertools.count(0.0, takes).__next__)
        tokens = PageTokens(TOKEN_KEY)
        engine, tail, catalogue = rig.engine, rig.log.tail, rig.catalogue
        self.search = Search(rig.storages, engine, tail, catalogue, tokens, narrowing=narrowing, outcomes=outcomes)
        self.batches = StoredBatches(rig.storages, rig.catalogue, outcomes)

    def page(self, query: SearchQuery, times: int = 4) -> None:
        for _ in range(times):
            with contextlib.suppress(AuditStoreError):
                self.search.page(ALICE, query, time.monotonic() + 60)

    def raised(self) -> list[tuple[str, str]]:
        self.alerts.evaluate()
        return [(each.storage_id, each.id) for each in self.alerts.listed()]


def test_a_search_of_all_counts_against_the_storage_that_failed_alone(rig: SearchRig) -> None:
    counted = Counted(rig)
    Away.error = StorageError("s3:GetObject: no answer came")
    counted.page(SearchQuery(storage="all"))
    assert counted.raised() == [(FAR, "event-search")]
    (alert,) = counted.alerts.listed()
    assert alert.detail.endswith(".parquet: s3:GetObject: no answer came")
    Away.error = None
    counted.page(SearchQuery(storage="all"))
    assert counted.raised() == []


@pytest.mark.parametrize("selector", [EventSelector(uid="there", storage=FAR), None], ids=["uid", "position"])
def test_a_get_counts(rig: SearchRig, selector: EventSelector | None) -> None:
    counted = Counted(rig)
    if selector is None:
        (batch,) = [each for each in rig.catalogue.batches() if each.storage == FAR]
        selector = EventSelector(log_id=batch.log_id, sequence=batch.first, storage=FAR)
    Away.error = StorageError("away")
    for _ in range(4):
        with pytest.raises(Unavailable):
            counted.search.get(ALICE, selector, time.monotonic() + 60)
    assert counted.raised() == [(FAR, "event-search")]
    Away.error = None
    for _ in range(4):
        counted.search.get(ALICE, selector, time.monotonic() + 60)
    assert counted.raised() == []


def test_a_batch_that_is_read_for_an_export_or_a_watch_counts(rig: SearchRig) -> None:
    counted = Counted(rig)
    (batch,) = [each for each in rig.catalogue.batches() if each.storage == FAR]
    Away.error = StorageError("away")
    for _ in range(4):
        with pytest.raises(StorageError):
            counted.batches.read(batch)
    assert counted.raised() == [(FAR, "event-search")]
    Away.error = None
    for _ in range(4):
        counted.batches.read(batch)
    assert counted.raised() == []


def test_a_callers_own_mistakes_are_no_failures(rig: SearchRig) -> None:
    counted = Counted(rig)
    for query in (SearchQuery(page_token="forged"), SearchQuery(storage="none")):
        with pytest.raises((InvalidRequest, NotFound)):
            counted.search.page(ALICE, query, time.monotonic() + 60)
        counted.page(query)
    for _ in range(4):
        with pytest.raises(NotFound):
            counted.search.get(ALICE, EventSelector(uid="nobody's", storage="all"), time.monotonic() + 60)
    assert counted.raised() == []


@pytest.mark.parametrize("storage", [FAR, "all"])
def test_time_that_runs_out_is_the_storages_failure_once_it_had_enough(rig: SearchRig, storage: str) -> None:
    """In a search of all the newest event is far away, so that nothing is found before."""
    hasty, patient = Counted(rig, takes=9.9), Counted(rig, takes=10.0)
    for counted in (hasty, patient):
        Away.error = StorageTimeout()
        counted.page(SearchQuery(storage=storage))
    assert (hasty.raised(), patient.raised()) == ([], [(FAR, "event-search")])
    assert patient.alerts.listed()[0].detail == "its objects didn't come in 10 seconds"
    hasty.page(SearchQuery(storage=storage), times=10)
    assert hasty.raised() == []


@pytest.mark.parametrize(("takes", "raised", "cleared"), [(9.9, 0, 0), (10.0, 1, 0), (None, 0, 1)])
def test_a_page_that_is_given_in_part_as_time_ran_out_is_no_success(
    takes: float | None, raised: int, cleared: int
) -> None:
    """None: a page that is whole."""
    alerts = Alerts()
    outcomes = Outcomes(alerts, itertools.count(0.0, takes or 0.0).__next__)

    def read(times: int) -> None:
        for _ in range(times):
            with outcomes.counting((FAR,)) as outcome:
                outcome.asked.add(FAR)
                if takes is not None:
                    outcome.late.add(FAR)
                    outcome.lacks([Missing(MissingReason.TIME_LIMIT, FAR, "", "time ran out")])
        alerts.evaluate()

    read(4)
    assert len(alerts.listed()) == raised
    for _ in range(4):
        alerts.failed(FAR, AlertKind.EVENT_SEARCH, "away")
    alerts.evaluate()
    read(4)
    assert len(alerts.listed()) == 1 - cleared


def test_a_search_that_needs_nothing_stored_says_nothing_of_a_storage(rig: SearchRig) -> None:
    counted = Counted(rig)
    Away.error = StorageError("away")
    counted.page(SearchQuery(storage=FAR))
    assert counted.raised()
    counted.page(SearchQuery(Filters(from_ms=0, to_ms=1), storage=FAR), times=10)
    assert counted.raised(), "its bucket wasn't asked"


def test_what_others_put_there_and_cannot_be_read_is_no_failure(tmp_path: Path) -> None:
    with two_storages(tmp_path) as rig:
        counted = Counted(rig)
        folder = next(each for each in rig.events_folder.iterdir() if each.name[0].isdigit())
        (folder / "foreign.parquet").write_bytes(b"no parquet")
        page = counted.search.page(ALICE, SearchQuery(storage="default"), time.monotonic() + 60)
        assert page.missing, "it is named"
        counted.page(SearchQuery(storage="default"))
        assert counted.raised() == []


@pytest.mark.parametrize("engine", ["auto", "athena"])
def test_an_engine_that_fails_counts_also_where_the_page_is_read_without_it(rig: SearchRig, engine: str) -> None:
    finders = {FAR: Failing()}
    counted = Counted(rig, Narrowing(rig.storages, finders.get, scan_bytes=0))
    query = SearchQuery(Filters(uids=frozenset({"there"})), storage=FAR, engine=engine)
    counted.page(query)
    assert counted.raised() == [(FAR, "event-search")]
    (alert,) = counted.alerts.listed()
    assert "the query failed" in alert.detail


@pytest.mark.parametrize("reason", [MissingReason.OBJECT_MISSING, MissingReason.OBJECT_UNREADABLE])
def test_of_an_object_that_has_its_own_alert_a_storage_that_cant_be_read_is_told_all_the_same(
    reason: MissingReason,
) -> None:
    alerts = Alerts()
    outcomes = Outcomes(alerts, has_own_alert=lambda storage, name: (storage, name) == (FAR, "gone"))
    for _ in range(4):
        with outcomes.counting((FAR,)) as outcome:
            outcome.asked.add(FAR)
            outcome.lacks([Missing(reason, FAR, "gone", "why")])
    alerts.evaluate()
    assert bool(alerts.listed()) == (reason is MissingReason.OBJECT_UNREADABLE)


def test_that_nothing_says_where_a_storage_is_is_no_failure_of_the_others() -> None:
    alerts = Alerts()
    with pytest.raises(Unavailable), Outcomes(alerts).counting({"default", FAR}):
        raise Unavailable("nothing says where it is", storage="lost")
    assert not any(alerts.last_failure(storage, AlertKind.EVENT_SEARCH) for storage in ("default", FAR))
