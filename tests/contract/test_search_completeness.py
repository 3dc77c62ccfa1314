"""An answer from which something is missing says so, says what, and gives everything else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from server.audit_log.search.query import MissingReason, SearchPage, SearchQuery
from server.errors import DeadlineExceeded, Unavailable
from server.storage.ports import ScanEngine, ScanTimeout, StorageError
from server.storage.query import Filters, Order, ScanRequest, ScanResult
from tests.contract.search_rig import ALICE, BOB, CALLER, DAY_MS, NOON, SearchRig, duck_engine, event_json, shown

REASON = MissingReason


def _missing(page: SearchPage) -> list[tuple[MissingReason, str]]:
    return [(item.reason, item.name) for item in page.missing]


def _remove(path: Path) -> None:
    path.unlink()


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def _blank(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _flip_at(share: float) -> Callable[[Path], None]:
    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(len(content) * share)] ^= 4
        path.write_bytes(content)

    return flip


DAMAGES = {
    "removed": (_remove, REASON.OBJECT_MISSING),
    "a directory": (_directory, REASON.OBJECT_MISSING),
    "a link": (_link, REASON.OBJECT_MISSING),
    "truncated": (_truncate, REASON.OBJECT_CHANGED),
    "grown": (_grow, REASON.OBJECT_CHANGED),
    "blank": (_blank, REASON.OBJECT_CHANGED),
} | {f"a bit flipped at {share}": (_flip_at(share), REASON.OBJECT_CHANGED) for share in (0.0, 0.3, 0.999)}


@pytest.mark.parametrize("warm", [False, True], ids=["never read", "read before"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_object_is_named_and_everything_else_is_given(rig: SearchRig, damage: str, warm: bool) -> None:
    rig.store(event_json("before", NOON - DAY_MS), event_json("damaged", NOON, pad="y" * 3000))
    rig.store(event_json("after", NOON + 1))
    rig.emit(event_json("tail"))
    if warm:
        assert len(rig.found()) == 4
    apply, reason = DAMAGES[damage]
    path = next(path for path in rig.objects() if path.stat().st_size == max(p.stat().st_size for p in rig.objects()))
    apply(path)
    for order in Order:
        page = rig.page(SearchQuery(order=order))
        assert {row.position.uid for row in page.rows} == {"before", "after", "tail"}
        assert _missing(page) == [(reason, f"{path.parent.name}/{path.name}")]
        assert page.complete is False


def test_an_object_that_has_its_bytes_back_is_read_again(rig: SearchRig) -> None:
    rig.store(event_json("u1"))
    [path] = rig.objects()
    whole = path.read_bytes()
    _flip_at(0.3)(path)
    assert not rig.page(SearchQuery()).complete
    path.write_bytes(whole)
    page = rig.page(SearchQuery())
    assert (len(page.rows), page.complete) == (1, True)


def _replace_emitter(path: Path) -> None:
    record = orjson.loads(path.read_bytes())
    record["receipts"]["emitters"][0][1] = "mallory"
    path.write_bytes(orjson.dumps(record))


RECORD_DAMAGES: dict[str, Callable[[Path], object]] = {
    "removed": _remove,
    "a directory": _directory,
    "garbage": lambda path: path.write_bytes(b"\xff{"),
    "not an object": lambda path: path.write_bytes(b"[]"),
    "no members": lambda path: path.write_bytes(b"{}"),
    "other receipts": _replace_emitter,
}


@pytest.mark.parametrize("damage", RECORD_DAMAGES)
def test_receipts_that_can_not_be_read_are_named_and_their_rows_given_with_their_place(
    rig: SearchRig, damage: str
) -> None:
    [kept] = rig.store(event_json("u1"))
    rig.store(event_json("u2"), by=BOB)
    [name] = [f"{path.parent.name}/{path.name}" for path in rig.objects() if path.name.endswith("-1-1.parquet")]
    RECORD_DAMAGES[damage](rig.events_folder / "_batches" / kept.receipt.log_id / "1-1.json")
    page = rig.page(SearchQuery())
    emitters = {
        row.position.uid: (row.receipts[0].sequence, row.receipts[0].emitter and row.receipts[0].emitter.name)
        for row in page.rows
    }
    assert (emitters, _missing(page)) == ({"u1": (1, None), "u2": (2, "bob")}, [(REASON.RECEIPTS_UNREADABLE, name)])
    page = rig.page(SearchQuery(emitters=frozenset({"alice", "bob", "mallory"})))
    assert [row.position.uid for row in page.rows] == ["u2"]
    assert _missing(page) == [(REASON.RECEIPTS_UNREADABLE, name)]


def test_a_lost_range_of_the_journal_is_named_with_its_bounds(rig: SearchRig) -> None:
    for uid in ("u1", "u2", "u3"):
        rig.emit(event_json(uid))
    log_id = rig.kept[0].receipt.log_id
    rig.close()
    [segment] = (rig.folder / "journal" / log_id).iterdir()
    segment.write_bytes(segment.read_bytes().replace(b'"u2"', b'"uX"'))
    reopened = replace(rig)
    for _ in range(2):
        page = reopened.page(SearchQuery())
        assert [row.position.uid for row in page.rows] == ["u3", "u1"]
        holes = [(item.reason, item.name, item.first_sequence, item.last_sequence) for item in page.missing]
        assert holes == [(REASON.JOURNAL_HOLE, log_id, 2, 2)]
        reopened.deliver()
    reopened.close()


BY_ROWS = Filters(types=frozenset({"user.login"}))
"""What every event here passes; where only time chooses, pages may be made without the engine."""


class LimitedEngine:
    """The real engine, whose time is up after so many scans. `renew` gives it time again."""

    def __init__(self, engine: ScanEngine, scans: int) -> None:
        self._engine = engine
        self._scans = self._left = scans

    def renew(self) -> None:
        self._left = self._scans

    def scan(self, request: ScanRequest, *, deadline: float | None = None) -> ScanResult:
        if self._left == 0:
            raise ScanTimeout
        self._left -= 1
        return self._engine.scan(request, deadline=deadline)

    def fetch(self, path: str, row_number: int) -> bytes:
        return self._engine.fetch(path, row_number)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory, scan_engine: ScanEngine) -> Iterator[SearchRig]:
    """Objects of three windows of time whose times overlap, equal rows in several, and a tail among all of them."""
    rig = SearchRig(tmp_path_factory.mktemp("wide") / "data", scan_engine)
    for number in range(84):
        rig.emit(*[event_json(f"u{number}-{step}", NOON + 10 * number + 7 * step) for step in range(3)])
        if number % 9 == 0:
            rig.emit(*[event_json(f"u{number}-{step}", NOON + 10 * number + 7 * step) for step in range(3)], by=BOB)
        rig.cut()
    rig.deliver()
    rig.emit(*[event_json(f"t{number}", NOON + 25 * number - 3) for number in range(36)])
    rig.emit(*[event_json(f"u{number}-0", NOON + 10 * number) for number in range(0, 84, 5)], by=BOB)
    yield rig
    rig.close()


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize(("scans", "page_size"), [(1, 1000), (1, 60), (2, 30), (4, 15)])
def test_pages_that_run_out_of_time_go_on_and_give_everything_once(
    wide: SearchRig, order: Order, scans: int, page_size: int
) -> None:
    engine = LimitedEngine(wide.engine, scans)
    search = wide.search_with(engine)
    query = SearchQuery(BY_ROWS, order=order, page_size=page_size)
    pages = []
    for page in wide.pages(query, search=search):
        pages.append(page)
        engine.renew()
        assert len(pages) < 400
    assert shown(pages) == shown(list(wide.pages(SearchQuery(order=order, page_size=1000))))
    limited = [page for page in pages if not page.complete]
    assert {reason for page in limited for reason, _ in _missing(page)} <= {REASON.TIME_LIMIT}
    assert all(page.next_page_token for page in limited)
    if page_size == 1000:
        assert limited


@pytest.mark.parametrize("order", list(Order))
def test_a_row_of_which_not_every_receipt_was_read_waits_for_the_next_page(rig: SearchRig, order: Order) -> None:
    sign = -1 if order is Order.NEWEST_FIRST else 1
    rig.store(event_json("first", NOON))
    for name in ("x", "y", "z"):
        rig.store(event_json("second", NOON + sign), by=replace(BOB, name=name))
    query = SearchQuery(BY_ROWS, order=order, page_size=2)
    page = rig.page(query, search=rig.search_with(LimitedEngine(rig.engine, 1)))
    assert ([row.position.uid for row in page.rows], _missing(page)) == (["first"], [(REASON.TIME_LIMIT, "")])
    [row] = rig.page(replace(query, page_token=page.next_page_token)).rows
    assert (row.position.uid, len(row.receipts)) == ("second", 3)


def test_a_deadline_that_is_over_is_told_when_nothing_was_read_and_spares_the_tail(rig: SearchRig) -> None:
    rig.emit(event_json("u1"))
    over = time.monotonic() - 1
    assert len(rig.search.page(CALLER, SearchQuery(), over).rows) == 1
    rig.cut()
    rig.deliver()
    rig.emit(event_json("u2"))
    with pytest.raises(DeadlineExceeded):
        rig.search.page(CALLER, SearchQuery(), over)


def test_a_storage_that_can_not_be_read_makes_the_search_unavailable_in_our_own_words(
    rig: SearchRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.store(event_json("u1"))

    def failing(*_: object) -> object:
        raise StorageError("the disk at some path failed")

    for name in ("dates", "date_revision", "size"):
        with monkeypatch.context() as patch:
            patch.setattr(rig.storage, name, failing)
            with pytest.raises(Unavailable) as refused:
                rig.page(SearchQuery())
            assert "some path" not in refused.value.message


def test_receipts_are_asked_for_no_longer_than_there_is_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage that doesn't answer lets every question wait; the rows are given, and it is said what they lack."""
    rig = SearchRig(tmp_path, duck_engine(tmp_path))
    for uid in "abc":
        rig.emit(event_json(uid))
        rig.cut()
        rig.deliver()
    ahead, asked, now = [0.0], list[str](), time.monotonic
    deadline = now() + 60

    def read_record(name: str, digest: str) -> bytes | None:
        asked.append(name)
        ahead[0] = 60  # all the time that there was
        raise StorageError("no answer came")

    monkeypatch.setattr(time, "monotonic", lambda: now() + ahead[0])

    monkeypatch.setattr(rig.storage, "read_record", read_record)
    page = rig.search.page(ALICE, SearchQuery(), deadline)
    assert (len(page.rows), len(asked)) == (3, 1)
    assert [each.reason for each in page.missing] == [MissingReason.RECEIPTS_UNREADABLE] * 3
    rig.close()
