"""When a batch in a bucket counts as delivered: others can write there too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from server.audit_log.batch_record import BatchRecord
from server.audit_log.batch_rows import record_name_of
from server.audit_log.rebuilding import recall
from server.audit_log.search.query import SearchQuery
from server.audit_log.taken_names import TakenName
from server.state.catalogue import BatchOverlaps, Catalogue
from server.state.catalogue_rows import CatalogueBatch
from server.state.tables import catalogue_batches, catalogue_objects
from server.storage.aws import event_storage
from server.storage.ports import StorageError
from tests.contract.search_rig import PROOFS, SearchRig, duck_engine, event_json
from tests.contract.test_several_storages import OTHER, deliver, in_s3, switch_to
from tests.sandbox.running import Sandbox, running_sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as running:
        yield running


FORGED = BatchRecord("", 0, 0, OTHER, "", (), (), {"emitters": [], "runs": []})


@pytest.mark.parametrize("planted", ["a record", "no record", "too large", "archived", "all nine that can be guessed"])
def test_a_record_that_others_left_under_the_name_of_a_batch_neither_confirms_nor_holds_up_anything(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    """Names can be guessed: one without objects would have the events discarded, one of other objects forge them. Ours
    goes out under another name, which the catalogue knows, and which is found again where the catalogue is lost."""
    rig = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER,), open_other=in_s3(sandbox, tmp_path.name))
    switch_to(rig, OTHER)
    kept = [*rig.emit(event_json("a"))]
    rig.cut()
    kept += rig.emit(event_json("b"))
    rig.cut()
    (section, _) = rig.log.tail.of_storage(OTHER)
    assert section.cut is not None
    cut = section.cut
    storage: Any = rig.storages.of(OTHER)
    false = replace(FORGED, log_id=cut.log_id, first=cut.first, last=cut.last).encode()
    if planted == "too large":
        monkeypatch.setattr(event_storage, "MOST_RECORD_BYTES", 1000)
        false += b" " * 1000
    for number in range(10 if planted.startswith("all") else 1):
        storage.put_record(cut.numbered_record_name(number), b"{}" if planted == "no record" else false)
    if planted == "archived":
        way = storage._connect()
        way.s3.put_object(**way.place.at(f"_batches/{cut.record_name}"), Body=false, StorageClass="GLACIER")
    deliver(rig, OTHER)
    first, second = rig.catalogue.batches()
    assert (first.record_number >= 10**9) if planted.startswith("all") else (first.record_number == 1)
    assert second.record_number == 0
    assert rig.taken[0] == TakenName(OTHER, f"_batches/{cut.record_name}", f"_batches/{cut.numbered_record_name(1)}")
    assert len(rig.taken) == (10 if planted.startswith("all") else 1)
    read = storage.read_record(second_name := record_name_of(second))
    assert read is not None, second_name
    assert BatchRecord.decode(read).previous == first.record_digest, "the chain goes over the name that it has"
    found = [receipt for row in rig.page(SearchQuery(storage=OTHER)).rows for receipt in row.receipts]
    assert found == [item.receipt for item in reversed(kept)]
    if planted == "no record":
        with rig.database.begin() as connection:
            connection.execute(delete(catalogue_batches))
            connection.execute(delete(catalogue_objects))
        recall(storage, Catalogue(rig.database), lambda *_: True, PROOFS)
    again = rig.reopened()
    assert again.catalogue.batches()[0].record_number == first.record_number
    again_found = [receipt for row in again.page(SearchQuery(storage=OTHER)).rows for receipt in row.receipts]
    assert again_found == found
    again.close()


@pytest.mark.parametrize("touched", ["as it was", "in other bytes", "chained to another one"])
def test_a_batch_whose_record_is_there_is_confirmed_and_what_was_removed_of_it_comes_back(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, touched: str
) -> None:
    """A stop came between the record and the catalogue. One that says the same in other bytes isn't ours, as
    nobody would believe its receipts; nor one that names another before it."""
    rig = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER,), open_other=in_s3(sandbox, tmp_path.name))
    switch_to(rig, OTHER)
    (kept,) = rig.emit(event_json("a"))
    rig.cut()
    add = rig.catalogue.add_batch
    monkeypatch.setattr(rig.catalogue, "add_batch", lambda *_: (_ for _ in ()).throw(OSError("stopped here")))
    with pytest.raises(OSError, match="stopped here"):
        deliver(rig, OTHER)
    monkeypatch.setattr(rig.catalogue, "add_batch", add)
    storage: Any = rig.storages.of(OTHER)
    (stored,) = storage.list_date("2026-11-18")
    way = storage._connect()
    way.s3.delete_object(**way.place.at(stored.name))
    (record,) = storage.list_records()
    data = storage.read_record(record)
    if touched != "as it was":
        other = replace(BatchRecord.decode(data), previous="0" * 64).encode()
        body = data + b" " if touched == "in other bytes" else other
        way.s3.put_object(**way.place.at(f"_batches/{record}"), Body=body)
    deliver(rig, OTHER)
    assert len(list(storage.list_records())) == 1 + (touched != "as it was")
    assert len(storage.list_date("2026-11-18")) == 1
    assert [row.receipts for row in rig.page(SearchQuery(storage=OTHER)).rows] == [(kept.receipt,)]
    assert not rig.log.tail.of_storage(OTHER)
    rig.close()


@pytest.mark.parametrize("first", [1, 2], ids=["which begins where it does", "which begins later"])
def test_a_batch_that_has_sequences_of_a_known_one_stays_in_the_journal(
    sandbox: Sandbox, tmp_path: Path, first: int
) -> None:
    """Whatever made two of them: the events of one would be taken for those of the other, and lost."""
    rig = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER,), open_other=in_s3(sandbox, tmp_path.name))
    switch_to(rig, OTHER)
    rig.emit(event_json("a"), event_json("b"), event_json("c"))
    rig.cut()
    log_id = rig.log.journal.log_id
    rig.catalogue.add_batch(CatalogueBatch(OTHER, log_id, first, 2, "0" * 64, 0), [])
    for _ in range(2):
        with pytest.raises(BatchOverlaps, match=f"sequences 1 to 3 of log {log_id} are in another batch"):
            deliver(rig, OTHER)
    assert [section.events for section in rig.log.tail.of_storage(OTHER)] == [3]
    rig.close()


def test_a_record_that_nobody_can_read_keeps_no_other_from_being_recalled(sandbox: Sandbox, tmp_path: Path) -> None:
    """And no server from starting: whoever can write to the bucket could have written it."""
    rig = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER,), open_other=in_s3(sandbox, tmp_path.name))
    switch_to(rig, OTHER)
    for uid in "ab":
        rig.emit(event_json(uid))
        rig.cut()
    deliver(rig, OTHER)
    storage: Any = rig.storages.of(OTHER)
    way, (first, _) = storage._connect(), sorted(storage.list_records())
    way.s3.put_object(**way.place.at(f"_batches/{first}"), Body=b'{"format":99}')
    with rig.database.begin() as connection:
        connection.execute(delete(catalogue_batches))
        connection.execute(delete(catalogue_objects))
    again = rig.reopened()
    with pytest.raises(StorageError, match="format 99"):
        recall(again.storages.of(OTHER), again.catalogue, lambda *_: True, PROOFS)
    assert [(batch.first, batch.last) for batch in again.catalogue.batches()] == [(2, 2)]
    again.close()
