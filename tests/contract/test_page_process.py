"""Pages that a process of its own made ahead are those that the service makes, and it can be gone at any time."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from extaudit.v1.audit_log_service_pb2 import SearchEventsResponse

from server.audit_log.search import page_process, page_worker
from server.audit_log.search.page_columns import GivenRows
from server.audit_log.search.page_messages import READY, receive
from server.audit_log.search.page_process import PageProcess
from server.audit_log.search.page_reader import PAGE_BOUNDS
from server.audit_log.search.page_rooms import Rooms
from server.audit_log.search.query import SearchPage, SearchQuery
from server.audit_log.search.search import Search
from server.grpc_api.row_encoding import encoded_rows, search_answer
from server.reading_assembly import PAGE_PROCESS
from server.storage.query import Order
from server.storage.scan.engine import DuckScanEngine
from tests.contract.search_rig import ALICE, BOB, NOON, SearchRig, event_json

GENEROUS_SECONDS = 60
QUERY = SearchQuery(page_size=9)
Told = tuple[list[object], list[object], bool]


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[PageProcess]:
    """In a folder with other code of the service's name, which must not be what is run."""
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "__init__.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(page_process, "_ANSWER_SECONDS", GENEROUS_SECONDS)
    made = PageProcess(PAGE_PROCESS, PAGE_BOUNDS)
    yield made
    made.close()


def _stored(folder: Path, engine: DuckScanEngine) -> SearchRig:
    """Objects whose times overlap, with events that two emitted, and ones of the same millisecond."""
    made = SearchRig(folder, engine)
    for number in range(20):
        events = [event_json(f"u{number}-{step}", NOON + 7 * number + step // 2, text="é" * step) for step in range(20)]
        made.store(*events, by=ALICE)
        made.store(*events[:3], by=BOB)
    return made


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, scan_engine: DuckScanEngine) -> Iterator[SearchRig]:
    """For tests that change nothing of it."""
    made = _stored(tmp_path_factory.mktemp("stored") / "data", scan_engine)
    yield made
    made.close()


@pytest.fixture
def own_rig(tmp_path: Path, scan_engine: DuckScanEngine) -> Iterator[SearchRig]:
    """For one that does."""
    made = _stored(tmp_path / "data", scan_engine)
    yield made
    made.close()


def _search(rig: SearchRig, process: PageProcess | None) -> Search:
    return rig.search_with(rig.engine, write=encoded_rows, making_elsewhere=process)


def _walk(rig: SearchRig, search: Search, query: SearchQuery) -> Iterator[SearchPage]:
    """The pages, each after what its reader had made ahead."""
    for page in rig.pages(query, search=search):
        yield page
        if page.prepare_next is not None:
            page.prepare_next()


def _told(page: SearchPage) -> Told:
    events = SearchEventsResponse.FromString(search_answer(page)).events
    return list(events), list(page.missing), page.next_page_token == ""


def _ready(rig: SearchRig, process: PageProcess) -> None:
    """Have a walk begin the process, and wait until it can be asked."""
    for _ in _walk(rig, _search(rig, process), QUERY):
        pass
    assert process._connection is not None
    assert select.select([process._connection], [], [], GENEROUS_SECONDS)[0] or process._is_ready


@pytest.mark.parametrize("order", list(Order))
def test_pages_are_those_that_the_service_makes(rig: SearchRig, process: PageProcess, order: Order) -> None:
    _ready(rig, process)
    query = replace(QUERY, order=order)
    found = list(_walk(rig, _search(rig, process), query))
    elsewhere = [isinstance(page.rows, GivenRows) for page in found]
    assert not any(elsewhere[:2]), "most searches end with their first page"
    assert sum(elsewhere) > len(elsewhere) * 3 // 4, "all but some in which equal rows are cut"
    assert list(map(_told, found)) == list(map(_told, rig.pages(query, search=_search(rig, None))))
    with pytest.raises(TypeError):
        found[-1].rows[0]


def test_runs_are_begun_before_they_are_needed_until_twelve_pages_wait(rig: SearchRig, process: PageProcess) -> None:
    _ready(rig, process)
    search = _search(rig, process)
    waiting = []
    for page in rig.pages(QUERY, search=search):
        if page.prepare_next is not None:
            page.prepare_next(lambda: True)
        waiting.append(search._columns._ahead.waiting)
    assert max(waiting) == 12
    assert min(waiting[9:-14]) > 8, "the process has always something to do"
    waiting.clear()
    for page in rig.pages(QUERY, search=(alone := _search(rig, None))):
        if page.prepare_next is not None:
            page.prepare_next(lambda: True)
        waiting.append(alone._columns._ahead.waiting)
    assert max(waiting) <= 8, "the service itself makes no more than it needs"


def test_no_page_makes_room_for_one_that_is_needed_after_it(rig: SearchRig, process: PageProcess) -> None:
    _ready(rig, process)
    found, most = [], []
    for room in (32 << 20, 8 << 20):  # of the least that pages count for: more than there are at once, and two runs
        search = _search(rig, process)
        search._columns._ahead._most = room
        elsewhere, waiting = [], []
        for page in rig.pages(QUERY, search=search):
            if page.prepare_next is not None:
                page.prepare_next(lambda: True)
            elsewhere.append(isinstance(page.rows, GivenRows))
            waiting.append(search._columns._ahead.waiting)
        found.append(elsewhere)
        most.append(max(waiting))
    assert found[0] == found[1], "none that was made is made again"
    assert most == [12, 8]


def test_memory_that_a_page_is_in_is_not_written_again_until_nobody_has_the_page(
    rig: SearchRig, process: PageProcess
) -> None:
    _ready(rig, process)
    kept = [(page, _told(page)) for page in _walk(rig, _search(rig, process), QUERY)]
    for _ in _walk(rig, _search(rig, process), QUERY):
        pass
    assert [_told(page) for page, _ in kept] == [told for _, told in kept]
    rooms = len(process._rooms)
    kept.clear()
    for _ in "12":
        for _ in _walk(rig, _search(rig, process), QUERY):
            pass
    assert len(process._rooms) == rooms, "it is used again then"


def test_what_befalls_an_object_after_its_page_was_made_is_told(own_rig: SearchRig, process: PageProcess) -> None:
    _ready(own_rig, process)
    walk = _walk(own_rig, _search(own_rig, process), QUERY)
    page = next(page for page in walk if isinstance(page.rows, GivenRows))
    gone = own_rig.objects()
    for path in gone:
        path.write_bytes(bytes(path.stat().st_size))
    told = next(walk)
    assert not told.rows
    assert {each.reason.name for each in told.missing} == {"OBJECT_CHANGED"}
    assert not page.missing


def test_the_process_reads_no_object_that_is_not_as_it_was_stored(own_rig: SearchRig, process: PageProcess) -> None:
    _ready(own_rig, process)
    for path in own_rig.objects()[:10]:
        path.write_bytes(bytes(path.stat().st_size))
    expected = list(map(_told, _walk(own_rig, _search(own_rig, None), QUERY)))
    assert list(map(_told, _walk(own_rig, _search(own_rig, process), QUERY))) == expected
    assert any(missing for _, missing, _ in expected)


@pytest.mark.parametrize(
    ("sign", "more"), [(signal.SIGKILL, 0), (signal.SIGSTOP, 0), (signal.SIGSTOP, 1_000_000)], ids=str
)
def test_a_process_that_is_gone_or_stuck_costs_no_page_and_is_begun_again(
    rig: SearchRig, process: PageProcess, monkeypatch: pytest.MonkeyPatch, sign: signal.Signals, more: int
) -> None:
    """Neither an answer that doesn't come holds up a page for ever, nor a request that nobody takes."""
    expected = list(map(_told, rig.pages(QUERY, search=_search(rig, None))))
    _ready(rig, process)
    monkeypatch.setattr(page_process, "_END_SECONDS", 0.1)
    found, first = [], process._process
    for page in _walk(rig, _search(rig, process), QUERY):
        found.append(_told(page))
        if len(found) == 8:
            assert first is not None
            assert process._connection is not None
            os.kill(first.pid, sign)
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                process._connection.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", 0, 300_000))
            process._free.extend([0] * more)
    assert found == expected
    _ready(rig, process)
    assert process._process is not first


@pytest.mark.parametrize(
    "command", [["/nowhere/python"], ["/bin/false"], [sys.executable, "-c", "raise SystemExit(1)"]]
)
def test_one_that_can_not_be_begun_or_ends_at_once_is_not_tried_again(
    rig: SearchRig, caplog: pytest.LogCaptureFixture, command: list[str]
) -> None:
    process = PageProcess(command, PAGE_BOUNDS)
    expected = list(map(_told, rig.pages(QUERY, search=_search(rig, None))))
    until = time.monotonic() + GENEROUS_SECONDS
    while process._may_begin:
        assert time.monotonic() < until
        assert list(map(_told, _walk(rig, _search(rig, process), QUERY))) == expected
    said = [record.message for record in caplog.records if record.levelname == "WARNING"]
    for _ in "12":
        assert list(map(_told, _walk(rig, _search(rig, process), QUERY))) == expected
    assert said
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == said
    process.close()


def test_one_that_failed_before_it_was_ready_is_not_tried_again_where_who_asks_sees_it_first(
    rig: SearchRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PageProcess, "_await_end", lambda *_: None)  # which sees it second
    process = PageProcess(["/bin/false"], PAGE_BOUNDS)
    _ready(rig, process)
    for _ in _walk(rig, _search(rig, process), QUERY):
        pass
    assert process._process is None
    assert not process._may_begin


class NeverThere:
    """What would make pages elsewhere, and isn't ready before the walk is over."""

    begun = False

    def run(self, *_: object) -> None:
        return None

    def begin(self) -> None:
        self.begun = True


@pytest.mark.parametrize(("page_size", "earliest", "latest"), [(9, 37, 44), (3, 60, 72)])
def test_it_is_begun_behind_a_walk_or_once_that_has_become_a_long_one(
    rig: SearchRig, page_size: int, earliest: int, latest: int
) -> None:
    """Beginning it takes a processor, which whoever walks would wait for."""
    elsewhere = NeverThere()
    search = rig.search_with(rig.engine, write=encoded_rows, making_elsewhere=elsewhere)
    begun = [elsewhere.begun for _ in _walk(rig, search, SearchQuery(page_size=page_size))]
    assert earliest <= begun.index(True) <= latest


def test_memory_that_comes_without_a_descriptor_is_no_answer(
    rig: SearchRig, process: PageProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel drops a descriptor where the service has as many as it may: a room would be the smaller one before."""
    expected = list(map(_told, rig.pages(QUERY, search=_search(rig, None))))
    _ready(rig, process)
    first, receive_descriptors = process._process, socket.recv_fds

    def dropping(*given: Any) -> Any:
        data, found, flags, address = receive_descriptors(*given)
        for each in found:
            os.close(each)
        return data, [], flags | (socket.MSG_CTRUNC if found else 0), address

    monkeypatch.setattr(socket, "recv_fds", dropping)  # a real limit would hit the rest of the test as well
    assert list(map(_told, _walk(rig, _search(rig, process), QUERY))) == expected
    assert process._process is not first


def test_no_answer_is_taken_for_that_to_another_question(
    rig: SearchRig, process: PageProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong between a request and its answer: the next one is asked of another process."""
    expected = list(map(_told, rig.pages(QUERY, search=_search(rig, None))))
    _ready(rig, process)
    asked, faults = process._process, [ValueError()]

    def receiving(connection: socket.socket) -> object:
        if faults:
            raise faults.pop()  # with the answer still to come
        return receive(connection)

    monkeypatch.setattr(page_process, "receive", receiving)
    assert list(map(_told, _walk(rig, _search(rig, process), QUERY))) == expected
    assert process._process is not asked


def test_it_ends_with_the_service_and_when_nobody_asks(
    rig: SearchRig, process: PageProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ready(rig, process)
    monkeypatch.setattr(page_process, "_END_SECONDS", GENEROUS_SECONDS)
    begun = process._process
    process.close()
    assert begun is not None
    assert begun.poll() == 0
    assert list(_walk(rig, _search(rig, process), QUERY))
    assert process._process is None, "none is begun any more"
    ours, its = socket.socketpair()
    with ours, its:
        worker = threading.Thread(target=page_worker.work, args=(its, encoded_rows, 0.01))
        worker.start()
        assert receive(ours)[0] == READY
        worker.join(GENEROUS_SECONDS)
        assert not worker.is_alive()


def test_rooms_are_used_again_once_they_are_free_and_grow() -> None:
    rooms = Rooms()
    first, second = rooms.take(10), rooms.take(10)
    assert first.number != second.number
    assert (rooms.to_be_shared(first), rooms.to_be_shared(first)) == (first.descriptor, None)
    rooms.free([first.number])
    assert rooms.take(10) is first
    rooms.free([first.number])
    larger = rooms.take(len(first.memory) + 1)
    assert larger.number == first.number
    assert len(larger.memory) > len(first.memory)
    assert rooms.to_be_shared(larger) == larger.descriptor, "whoever has the smaller one needs it"
