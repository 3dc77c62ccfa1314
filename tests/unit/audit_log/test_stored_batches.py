"""A stored batch comes back in the order of sequences, with receipts, and says what of it can't be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from server.audit_log.batch_decoding import blocks, events, joined_json, json_sizes
from server.audit_log.search.query import MissingReason
from server.audit_log.stored_batches import BatchRows, StoredBatches
from server.state.catalogue_rows import CatalogueBatch
from server.storage.ports import StorageError
from tests.contract.search_rig import ALICE, BOB, DAY_MS, NODE, NOON, SearchRig, duck_engine, event_json


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[SearchRig]:
    rig = SearchRig(tmp_path, duck_engine(tmp_path))
    yield rig
    rig.close()


def _two_days(rig: SearchRig) -> CatalogueBatch:
    """A batch of two objects whose sequences alternate between them, from three emitters at three times."""
    for number, who in enumerate((ALICE, BOB, NODE, ALICE)):
        days = [number * 3 + each for each in range(3)]
        rig.emit(
            *(event_json(f"e-{day}", NOON + day % 2 * DAY_MS - day, user="ü" * day) for day in days),
            by=who,
            received_ms=NOON + number,
        )
    rig.cut()
    rig.deliver()
    [batch] = rig.catalogue.batches()
    return batch


def _read(rig: SearchRig) -> BatchRows:
    [batch] = rig.catalogue.batches()
    return StoredBatches(rig.storages, rig.catalogue).read(batch)


def test_rows_of_all_dates_come_in_the_order_of_sequences_as_they_were_acknowledged(rig: SearchRig) -> None:
    _two_days(rig)
    rows = _read(rig)
    assert len(rig.objects()) == 2
    assert list(events(rows.columns)) == [(kept.receipt.sequence, kept.event) for kept in rig.kept]
    assert not rows.missing
    assert rows.receipts is not None
    assert [rows.receipts.receipt(kept.receipt.sequence) for kept in rig.kept] == [kept.receipt for kept in rig.kept]


def test_receipts_of_many_sequences_are_those_of_each(rig: SearchRig) -> None:
    _two_days(rig)
    rows = _read(rig)
    assert rows.receipts is not None
    numbers, received = rows.receipts.lookup(rows.columns.sequences)
    found = [rows.receipts.emitters[number] for number in numbers.tolist()]
    assert found == [(kept.receipt.emitter, kept.receipt.peer) for kept in rig.kept]
    assert received.tolist() == [kept.receipt.received_ms for kept in rig.kept]
    outside, none = rows.receipts.lookup(np.array([0]))
    assert (outside.tolist(), none.tolist()) == ([-1], [0])


@pytest.mark.parametrize(
    ("after", "rows", "size", "expected"),
    [
        (0, 100, 1 << 20, [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]]),
        (0, 5, 1 << 20, [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 12]]),
        (10, 5, 1 << 20, [[11, 12]]),
        (12, 5, 1 << 20, []),
        (9, 5, 1, [[10], [11], [12]]),  # what is larger than a block comes alone
    ],
)
def test_blocks_are_bounded_in_rows_and_bytes(
    after: int, rows: int, size: int, expected: list[list[int]], rig: SearchRig
) -> None:
    _two_days(rig)
    found = list(blocks(_read(rig).columns, after, rows, size))
    assert [block.sequences.tolist() for block in found] == expected
    kept = {each.receipt.sequence: each.event for each in rig.kept}
    for block in found:
        wanted = [kept[sequence].data for sequence in block.sequences.tolist()]
        assert bytes(joined_json(block)) == b"".join(wanted)
        assert json_sizes(block).tolist() == [len(data) for data in wanted]
        assert list(events(block)) == [(sequence, kept[sequence]) for sequence in block.sequences.tolist()]


def _remove(path: Path) -> None:
    path.unlink()


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


def _lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def _make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (_remove, MissingReason.OBJECT_MISSING),
        (_flip, MissingReason.OBJECT_CHANGED),
        (_lengthen, MissingReason.OBJECT_CHANGED),
        (_make_folder, MissingReason.OBJECT_UNREADABLE),
    ],
)
def test_an_object_that_others_changed_is_named_and_the_rest_is_given(
    fault: object, reason: MissingReason, rig: SearchRig
) -> None:
    _two_days(rig)
    path = rig.objects()[0]
    fault(path)  # type: ignore[operator]
    rows = _read(rig)
    assert [(part.reason, part.name) for part in rows.missing] == [(reason, f"{path.parent.name}/{path.name}")]
    rest = [kept.receipt.sequence for kept in rig.kept if kept.event.time_ms > NOON]
    assert rows.columns.sequences.tolist() == rest


def test_a_record_that_says_an_object_is_larger_than_memory_stops_nothing(rig: SearchRig) -> None:
    batch = _two_days(rig)
    objects = rig.catalogue._by_batch[batch.log_id, batch.first]
    objects[:] = [replace(item, bytes=2**62) for item in objects]
    assert len(_read(rig).columns.sequences) == 12


def test_a_changed_batch_record_takes_the_receipts_and_no_row(rig: SearchRig) -> None:
    _two_days(rig)
    [record] = rig.events_folder.glob("_batches/*/*.json")
    record.write_bytes(record.read_bytes().replace(b"alice", b"malic"))
    rows = _read(rig)
    assert [part.reason for part in rows.missing] == [MissingReason.RECEIPTS_UNREADABLE]
    assert rows.receipts is None
    assert len(rows.columns.sequences) == len(rig.kept)


def test_a_fault_of_the_moment_is_no_missing_object(rig: SearchRig, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = _two_days(rig)
    batches = StoredBatches(rig.storages, rig.catalogue)

    def out_of_files(*_: object, **__: object) -> None:
        raise OSError(24, os.strerror(24))

    monkeypatch.setattr("builtins.open", out_of_files)
    with pytest.raises(StorageError):
        batches.read(batch)
    monkeypatch.undo()
    assert not batches.read(batch).missing
