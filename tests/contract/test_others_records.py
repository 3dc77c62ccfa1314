"""What others wrote into a storage: their batch records are not taken for ours, and names that they took are left."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import delete

from server.audit_log import rebuilding
from server.audit_log.batch_record import BatchRecord, record_digest
from server.audit_log.rebuilding import RecordsUnread, recall
from server.audit_log.recalling import Recalling
from server.audit_log.record_proof import RecordProofs
from server.audit_log.search.query import SearchQuery
from server.audit_log.taken_names import TakenName
from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueBatch
from server.state.tables import catalogue_batches, catalogue_objects
from server.storage.ports import StorageError
from tests.contract.search_rig import PROOFS, SearchRig, duck_engine, event_json
from tests.contract.test_several_storages import OTHER, deliver, emitted, in_s3, rig, sandbox, switch_to
from tests.sandbox.running import Sandbox

__all__ = ["rig", "sandbox"]  # fixtures


def recalling_of(rig: SearchRig) -> Recalling:
    log = rig.log
    return Recalling(rig.storages, rig.catalogue, log.tail, log.journal, log.proofs, ThreadPoolExecutor(1))


def test_batch_records_that_others_wrote_are_not_taken_for_ours(rig: SearchRig) -> None:
    """Not of a log that isn't ours, nor of sequences that somebody has or that were never given; what the state lost is
    taken back."""
    kept = emitted(rig)  # default has 1, 2 and 5, the other one 3 and 4
    deliver(rig, OTHER)
    log_id, storage = rig.log.journal.log_id, rig.storages.of(OTHER)
    recalling = recalling_of(rig)
    (record,) = [
        BatchRecord.decode(data) for name in storage.list_records() if (data := storage.read_record(name)) is not None
    ]
    forged = [(log_id, 1, 2), (log_id, 4, 4), (log_id, 5, 5), (log_id, 6, 9), (log_id, 3, 5), ("f" * 20, 1, 2)]
    for log, first, last in forged:
        stem = f"{log}-{first}-{last}"
        objects = tuple(replace(item, name=f"2026-11-18/{stem}.parquet") for item in record.objects)
        false = replace(record, log_id=log, first=first, last=last, objects=objects)
        storage.put_record(f"{log}/{first}-{last}.json", false.encode())
    assert recall(storage, rig.catalogue, recalling.admits, PROOFS) == (0, 6, 0, 0)
    recalling.stop()
    with pytest.raises(StorageError, match="stopping"):  # however many records there are
        recall(storage, rig.catalogue, recalling.admits, PROOFS)
    with rig.database.begin() as connection:
        connection.execute(delete(catalogue_batches).where(catalogue_batches.c.storage == OTHER))
        connection.execute(delete(catalogue_objects).where(catalogue_objects.c.storage == OTHER))
    again = rig.reopened()
    assert not again.catalogue.holes()
    page = again.page(SearchQuery(storage="all"))
    assert page.complete
    found = [receipt for row in page.rows for receipt in row.receipts]
    assert sorted(found, key=lambda each: each.sequence) == sorted(
        (item.receipt for each in kept.values() for item in each), key=lambda each: each.sequence
    )
    again.close()


@pytest.mark.parametrize("proof", ["none", "another record's", "of another key", "not ASCII"])
def test_what_the_state_lost_is_taken_back_from_records_with_a_proof_alone(
    sandbox: Sandbox, tmp_path: Path, proof: str
) -> None:
    """Whoever can write to the bucket can delete a record, and write another one of the same sequences; or one of a log
    of ours that has ended, beyond its end, which a state that was lost doesn't know."""
    rig = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER,), open_other=in_s3(sandbox, tmp_path.name))
    emitted(rig)
    deliver(rig, OTHER)
    storage: Any = rig.storages.of(OTHER)
    (name,) = storage.list_records()
    data = storage.read_record(name)
    assert data is not None
    record = BatchRecord.decode(data)
    forged = replace(record, receipts={"emitters": [], "runs": []}, previous="0" * 64)
    other = RecordProofs(b"another").proven(forged).proof
    proofs = {"none": "", "another record's": record.proof, "of another key": other, "not ASCII": "é" * 64}
    forged = replace(forged, proof=proofs[proof])
    with rig.database.begin() as connection:
        connection.execute(delete(catalogue_batches).where(catalogue_batches.c.storage == OTHER))
        connection.execute(delete(catalogue_objects).where(catalogue_objects.c.storage == OTHER))
    way = storage._connect()
    way.s3.put_object(**way.place.at(f"_batches/{name}"), Body=forged.encode())
    catalogue = Catalogue(rig.database)
    assert recall(storage, catalogue, lambda *_: True, PROOFS) == (0, 0, 1, 0)
    assert catalogue.batch(record.log_id, record.first) is None
    storage.put_record(name.replace(".json", ".r1.json"), data)
    assert recall(storage, catalogue, lambda *_: True, PROOFS) == (1, 0, 0, 0), "it is found behind the forged one"
    found = catalogue.batch(record.log_id, record.first)
    assert found is not None
    assert (found.record_number, found.record_digest) == (1, record_digest(data))
    rig.close()


def test_what_others_put_over_records_or_deleted_is_taken_back_from_the_versions_below(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """Who can write to a bucket that keeps versions can hide what was stored, and not take it away."""
    rig = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER,), open_other=in_s3(sandbox, tmp_path.name))
    storage: Any = rig.storages.of(OTHER)
    way = storage._connect()
    enabled = {"Status": "Enabled"}
    sandbox.client("s3").put_bucket_versioning(Bucket=way.place.location.bucket, VersioningConfiguration=enabled)
    switch_to(rig, OTHER)
    for uid in "abc":
        rig.emit(event_json(uid))
        rig.cut()
        deliver(rig, OTHER)
    names = list(storage.list_records())
    digests = [record_digest(storage.read_record(name)) for name in names]
    with rig.database.begin() as connection:
        connection.execute(delete(catalogue_batches))
        connection.execute(delete(catalogue_objects))
    first, second, third = (way.place.at(f"_batches/{name}") for name in names)
    way.s3.put_object(**first, Body=replace(BatchRecord.decode(storage.read_record(names[0])), proof="").encode())
    way.s3.delete_object(**second)
    way.s3.put_object(**third, Body=b'{"format": 99}')
    catalogue = Catalogue(rig.database)
    assert recall(storage, catalogue, lambda *_: True, PROOFS) == (3, 0, 0, 0)
    assert [each.record_digest for each in catalogue.batches()] == digests
    rig.close()


def test_what_nobody_can_read_holds_back_nothing_of_ours_however_much_others_put_there(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither before it, nor under its first name, nor under names that are another's."""
    monkeypatch.setattr(rebuilding, "_MOST_UNREAD", 2)
    rig = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER,), open_other=in_s3(sandbox, tmp_path.name))
    emitted(rig)
    deliver(rig, OTHER)
    storage: Any = rig.storages.of(OTHER)
    (name,) = storage.list_records()
    storage.put_record(name.replace(".json", ".r1.json"), storage.read_record(name))
    with rig.database.begin() as connection:
        connection.execute(delete(catalogue_batches).where(catalogue_batches.c.storage == OTHER))
        connection.execute(delete(catalogue_objects).where(catalogue_objects.c.storage == OTHER))
    way = storage._connect()
    log_id, _, own = name.partition("/")
    for planted in (f"0{own}", "1-9.json", "2-9.json", own):
        way.s3.put_object(**way.place.at(f"_batches/{log_id}/{planted}"), Body=b"theirs", StorageClass="GLACIER")
    catalogue, reached = Catalogue(rig.database), ""
    for expected in (f"{log_id}/2-9.json", ""):
        with pytest.raises(RecordsUnread, match="archived") as unread:
            recall(storage, catalogue, lambda *_: True, PROOFS, reached)
        reached = unread.value.reached
        assert reached == expected
    assert [(each.first, each.last, each.record_number) for each in catalogue.batches()] == [(3, 4, 1)]
    rig.close()


def test_a_record_of_sequences_that_became_another_batchs_while_it_was_read_stops_nothing(
    rig: SearchRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    emitted(rig)
    deliver(rig, OTHER)
    storage: Any = rig.storages.of(OTHER)
    with rig.database.begin() as connection:
        connection.execute(delete(catalogue_batches).where(catalogue_batches.c.storage == OTHER))
        connection.execute(delete(catalogue_objects).where(catalogue_objects.c.storage == OTHER))
    catalogue, read = Catalogue(rig.database), storage.read_record

    def meanwhile(name: str) -> bytes | None:
        catalogue.add_batch(CatalogueBatch("default", rig.log.journal.log_id, 4, 4, "0" * 64, 0), [])
        return cast(bytes, read(name))

    monkeypatch.setattr(storage, "read_record", meanwhile)
    assert recall(storage, catalogue, lambda *_: True, PROOFS) == (0, 1, 0, 0)


def test_names_of_records_are_walked_through_and_not_gathered(rig: SearchRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others can put as many there as they like."""
    storage, asked, listed = rig.storages.of(OTHER), list[str](), 0

    def names(**_: bool) -> Iterator[str]:
        nonlocal listed
        for number in range(1, 4):
            for name in (f"{'f' * 20}/{number}-9.json", f"{'f' * 20}/{number}-9.r1.json"):
                listed += 1
                assert listed - len(asked) <= 2, "nobody has looked at those before"
                yield name

    monkeypatch.setattr(storage, "list_records", names)
    monkeypatch.setattr(storage, "read_record", asked.append)
    assert recall(storage, rig.catalogue, lambda *_: True, PROOFS) == (0, 0, 3, 0)
    assert asked == [f"{'f' * 20}/{number}-9{end}.json" for number in range(1, 4) for end in ("", ".r1")]


@pytest.mark.parametrize("is_begun", [False, True], ids=["in a new section", "in one that grows"])
def test_a_record_of_sequences_that_are_given_at_this_moment_is_not_taken_for_ours(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_begun: bool
) -> None:
    """They are in the journal before they are in the tail. Whoever can write to the bucket can guess them, and has
    every record of it looked at; the events would count as delivered."""
    rig = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER,), open_other=in_s3(sandbox, tmp_path.name))
    switch_to(rig, OTHER)
    rig.emit(event_json("before"))
    if not is_begun:
        rig.cut()
    log_id, storage, tail = rig.log.journal.log_id, rig.storages.of(OTHER), rig.log.tail
    recalling = recalling_of(rig)
    given = rig.log.journal.next_sequence
    forged = BatchRecord(log_id, given, given, OTHER, "", (), (), {"emitters": [], "runs": []})
    storage.put_record(f"{log_id}/{given}-{given}.json", forged.encode())
    pinned = tail.pin_with_ends

    def commit_after() -> object:
        found = pinned()
        monkeypatch.setattr(tail, "pin_with_ends", pinned)
        rig.emit(event_json("now"))
        return found

    monkeypatch.setattr(tail, "pin_with_ends", commit_after)
    recalled = recall(storage, rig.catalogue, recalling.admits, PROOFS)
    rig.cut()
    deliver(rig, OTHER)
    assert sorted(row.position.uid for row in rig.page(SearchQuery(storage=OTHER)).rows) == ["before", "now"]
    assert recalled == (0, 1, 0, 0)
    rig.close()


def test_a_name_that_others_took_is_left_alone_and_the_object_has_another(
    rig: SearchRig,
) -> None:
    switch_to(rig, OTHER)
    kept = rig.emit(event_json("a"))
    rig.cut()
    (section,) = rig.log.tail.of_storage(OTHER)
    assert section.cut is not None
    name = f"2026-11-18/{section.cut.name}.parquet"
    theirs = rig.folder / "theirs"
    theirs.write_bytes(b"theirs")
    storage = rig.storages.of(OTHER)
    storage.put(name, str(theirs), hashlib.sha256(b"theirs").hexdigest(), 6)
    deliver(rig, OTHER)
    assert storage.size(name) == 6
    found = [item.name for item in rig.catalogue.objects(OTHER) if not item.is_foreign]
    assert found == [name.replace(".parquet", ".r1.parquet")]
    assert rig.taken == [TakenName(OTHER, name, found[0])]
    page = rig.page(SearchQuery(storage=OTHER))
    assert {receipt for row in page.rows for receipt in row.receipts} == {kept[0].receipt}


def test_an_object_under_a_name_that_nobody_can_guess_is_there_once_though_a_stop_came_before_its_record(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """The next start would think of another name, and find nothing there."""
    rig = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER,), open_other=in_s3(sandbox, tmp_path.name))
    switch_to(rig, OTHER)
    rig.emit(event_json("a"))
    rig.cut()
    (section,) = rig.log.tail.of_storage(OTHER)
    assert section.cut is not None
    theirs, storage = tmp_path / "theirs", rig.storages.of(OTHER)
    theirs.write_bytes(b"theirs")
    for number in ("", *(f".r{number}" for number in range(1, 10))):
        name = f"2026-11-18/{section.cut.name}{number}.parquet"
        storage.put(name, str(theirs), hashlib.sha256(b"theirs").hexdigest(), 6)
    rig.delivery_to(OTHER).send(section)
    again = rig.reopened()
    deliver(again, OTHER)
    assert len(again.catalogue.batches()) == 1
    assert len(storage.list_date("2026-11-18")) == 10 + 1
    again.close()
