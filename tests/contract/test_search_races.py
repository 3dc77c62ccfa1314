"""What is acknowledged before a search is in it once, whatever is cut, delivered or emitted while it is planned."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from server.audit_log.search.query import SearchPage, SearchQuery
from server.storage.ports import StorageError
from tests.contract.foreign_files import write_as_teleport
from tests.contract.search_rig import NOON, SearchRig, event_json, shown


def _deliver(rig: SearchRig) -> None:
    rig.cut()
    rig.deliver()


def _emit_and_deliver(rig: SearchRig) -> None:
    rig.emit(event_json("later-1"))
    _deliver(rig)


def _deliver_and_emit(rig: SearchRig) -> None:
    _deliver(rig)
    rig.emit(event_json("later-2"))


def _deliver_twice(rig: SearchRig) -> None:
    _deliver(rig)
    _emit_and_deliver(rig)
    rig.emit(event_json("later-3"))


def _put_foreign(rig: SearchRig) -> None:
    write_as_teleport(rig.events_folder, "foreign", time_ms=NOON + 5)
    _emit_and_deliver(rig)


STEPS = {
    "before the pin": ("tail", "pin", False),
    "after the pin": ("tail", "pin", True),
    "before the listing": ("storage", "dates", False),
    "while dates are listed": ("storage", "list_date", False),
    "after a date is listed": ("storage", "list_date", True),
    "before what is pending is read": ("tail", "pending", False),
    "after what is pending is read": ("tail", "pending", True),
    "before the catalogue's part of the watermark": ("catalogue", "confirmed", False),
    "after the catalogue's part of the watermark": ("catalogue", "confirmed", True),
    "before the objects are chosen": ("catalogue", "objects", False),
    "after the objects are chosen": ("catalogue", "objects", True),
}


def _hook(target: object, name: str, after: bool, action: Callable[[], None], patch: pytest.MonkeyPatch) -> list[str]:
    """Have `action` done once, right before or after the first call of a method."""
    real, done = getattr(target, name), list[str]()

    def hooked(*args: Any) -> Any:
        first = not done
        if first:
            done.append(name)
        if first and not after:
            action()
        answer = real(*args)
        if first and after:
            action()
        return answer

    patch.setattr(target, name, hooked)
    return done


@pytest.mark.parametrize("change", [_deliver, _emit_and_deliver, _deliver_and_emit, _deliver_twice, _put_foreign])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("tail", [True, False], ids=["tail", "no tail"])
def test_a_change_in_the_middle_of_planning_loses_and_doubles_nothing(
    rig: SearchRig, monkeypatch: pytest.MonkeyPatch, step: str, change: Callable[[SearchRig], None], tail: bool
) -> None:
    rig.store(event_json("stored", NOON - 1))
    if tail:
        rig.emit(event_json("waiting"))
        rig.cut()
        rig.emit(event_json("open-1"), event_json("open-2"))
    before = {item.receipt for item in rig.kept}
    place, name, after = STEPS[step]
    target = {"tail": rig.log.tail, "storage": rig.storage, "catalogue": rig.catalogue}[place]
    with monkeypatch.context() as patch:
        done = _hook(target, name, after, lambda: change(rig), patch)
        search = rig.search_with(rig.engine)
        first = rig.page(SearchQuery(page_size=2), search=search)
        assert done, "the step never came"
    pages = [first, *(page for page in _rest(rig, first.next_page_token))]
    receipts = [receipt for page in pages for row in page.rows for receipt in row.receipts]
    ours = [receipt for receipt in receipts if not receipt.foreign_object]
    assert len(set(receipts)) == len(receipts), "nothing twice"
    assert before <= set(ours), "nothing lost"
    assert all(page.complete for page in pages)
    again = list(rig.pages(SearchQuery(watermark=first.watermark)))
    assert shown(again) == shown(pages), "the watermark given back gives the same rows"
    everything = [receipt for page in rig.pages(SearchQuery()) for row in page.rows for receipt in row.receipts]
    assert {item for item in everything if not item.foreign_object} == {item.receipt for item in rig.kept}
    assert len(everything) == len(set(everything))


def _rest(rig: SearchRig, token: str) -> list[Any]:
    return list(rig.pages(SearchQuery(page_size=2, page_token=token))) if token else []


def test_a_batch_that_is_half_delivered_is_neither_foreign_nor_twice(
    rig: SearchRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.emit(event_json("u1"), event_json("u2", NOON - 86_400_000))
    rig.cut()
    for method in ("put_record", "put"):
        with monkeypatch.context() as patch:
            patch.setattr(rig.storage, method, _failing)
            with pytest.raises(StorageError):
                rig.deliver()
        page = rig.page(SearchQuery())
        assert [row.receipts[0].foreign_object for row in page.rows] == ["", ""]
        assert page.complete
    rig.deliver()
    assert rig.found() == ["u1", "u2"]


def _failing(*_: object) -> None:
    raise StorageError("not now")


def test_a_listing_that_is_out_of_date_takes_back_nothing_that_another_search_found(
    rig: SearchRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_as_teleport(rig.events_folder, "t1")
    pages: list[SearchPage] = []
    other = threading.Thread(target=lambda: pages.append(rig.page(SearchQuery())))

    def put_and_search() -> None:
        write_as_teleport(rig.events_folder, "t2")
        other.start()
        other.join(0.5)

    _hook(rig.storage, "list_date", True, put_and_search, monkeypatch)
    rig.page(SearchQuery())
    other.join()
    [page] = pages
    assert len(page.rows) == 2
    assert sorted(rig.found(SearchQuery(watermark=page.watermark))) == ["t1", "t2"]


def test_searches_on_several_threads_see_everything_once_while_the_log_moves(rig: SearchRig) -> None:
    stop, faults = threading.Event(), list[str]()

    def look() -> None:
        while not stop.is_set():
            before = {item.receipt for item in list(rig.kept)}
            foreign = {path.name for path in rig.events_folder.glob("*/*-*-*-*-*.parquet")}
            receipts = [receipt for page in rig.pages(SearchQuery()) for row in page.rows for receipt in row.receipts]
            if len(set(receipts)) != len(receipts):
                faults.append("twice")
            if not before <= set(receipts):
                faults.append("lost")
            if not foreign <= {receipt.foreign_object[11:] for receipt in receipts}:
                faults.append("foreign lost")

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(24):
        rig.emit(event_json(f"a{number}", NOON + number), event_json(f"b{number}", NOON - number))
        if number % 2:
            _deliver(rig)
        if number % 5 == 0:
            write_as_teleport(rig.events_folder, f"t{number}")
    stop.set()
    for thread in threads:
        thread.join()
    assert faults == []
