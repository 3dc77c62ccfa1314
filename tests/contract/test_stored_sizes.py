"""Of an object whose date is as it was nobody asks again whether it is there, and of every one once it isn't."""

from __future__ import annotations

import pytest

from server.audit_log.search import stored_sizes
from server.audit_log.search.query import SearchQuery
from server.audit_log.search.stored_sizes import StoredSizes
from tests.contract.search_rig import NOON, SearchRig, event_json


@pytest.fixture
def asked(rig: SearchRig, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names whose size the storage is asked for, of four objects."""
    for number in range(4):
        rig.store(event_json(f"u{number}", NOON + number))
    names: list[str] = []
    size = rig.storage.size

    def asking(name: str) -> int | None:
        names.append(name)
        return size(name)

    monkeypatch.setattr(rig.storage, "size", asking)
    return names


def test_sizes_are_asked_for_once_for_each_revision_of_a_date(
    rig: SearchRig, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_sizes, "_SETTLED_NS", 0)
    objects = list(rig.catalogue.objects("default"))
    sizes = StoredSizes(rig.storages)
    assert not sizes.wrong(objects)
    assert not sizes.wrong(objects)
    assert sorted(asked) == sorted(item.name for item in objects)
    gone, *_ = rig.objects()
    gone.unlink()
    for _ in "12":
        assert list(sizes.wrong(objects).values()) == [None]
    other = rig.objects()[0]
    (other.parent / "copy").write_bytes(other.read_bytes()[:-1])
    (other.parent / "copy").rename(other)
    assert sorted(sizes.wrong(objects).values(), key=str) == [other.stat().st_size, None]


def test_of_a_date_in_which_something_has_just_happened_all_are_asked_again(rig: SearchRig, asked: list[str]) -> None:
    """Two changes within some milliseconds give a folder one time."""
    objects = list(rig.catalogue.objects("default"))
    sizes = StoredSizes(rig.storages)
    for _ in "12":
        assert not sizes.wrong(objects)
    assert len(asked) == 2 * len(objects)


def test_what_is_cut_in_its_place_is_told_by_the_page_that_reads_it(
    rig: SearchRig, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_sizes, "_SETTLED_NS", 0)
    assert rig.page(SearchQuery()).complete
    cut = rig.objects()[0]
    with cut.open("r+b") as file:
        file.truncate(10)
    asked.clear()
    assert [each.reason.name for each in rig.page(SearchQuery()).missing] == ["OBJECT_CHANGED"]
    assert not asked
