"""GetEvent: one event by its position or its uid, from tail and batches, whatever its size."""

from __future__ import annotations

import hashlib
import time

import pytest

from server.audit_log.batch_codec import BatchRow, columns_of, encode
from server.audit_log.search.query import EventSelector, FoundEvent
from server.errors import AuditStoreError, FailedPrecondition, NotFound, Unavailable
from tests.contract.search_rig import ALICE, BOB, CALLER, DAY_MS, NOON, SearchRig, event_json

MIB = 1024 * 1024


def _get(rig: SearchRig, **selector: object) -> FoundEvent:
    return rig.search.get(CALLER, EventSelector(**selector), time.monotonic() + 60)  # type: ignore[arg-type]


def _refusal(rig: SearchRig, **selector: object) -> AuditStoreError:
    with pytest.raises(AuditStoreError) as refused:
        _get(rig, **selector)
    return refused.value


@pytest.mark.parametrize("stored", [False, True])
def test_every_event_is_found_at_its_position(rig: SearchRig, stored: bool) -> None:
    rig.emit(*[event_json(f"u{number % 7}", NOON + DAY_MS * (number % 3 - 1), n=number) for number in range(20)])
    if stored:
        rig.cut()
        rig.deliver()
    for item in rig.kept:
        found = _get(rig, log_id=item.receipt.log_id, sequence=item.receipt.sequence)
        assert (found.data, found.receipts) == (item.event.data, (item.receipt,))


def test_an_event_found_at_its_position_shows_the_receipts_of_its_equals(rig: SearchRig) -> None:
    raw = event_json("u1")
    [first] = rig.store(raw, by=ALICE)
    rig.emit(raw, by=BOB)
    found = _get(rig, log_id=first.receipt.log_id, sequence=first.receipt.sequence)
    assert {receipt.emitter.name for receipt in found.receipts if receipt.emitter} == {"alice", "bob"}


def test_what_is_not_there_is_not_found(rig: SearchRig) -> None:
    [kept] = rig.store(event_json("u1"))
    log_id = kept.receipt.log_id
    for selector in ({"log_id": log_id, "sequence": 2}, {"log_id": "0" * 20, "sequence": 1}, {"uid": "u2"}):
        assert isinstance(_refusal(rig, **selector), NotFound)
    digest = hashlib.sha256(b"").hexdigest()
    assert isinstance(_refusal(rig, uid="u1", digest=digest), NotFound)
    for selector in ({"log_id": log_id, "sequence": 1}, {"uid": "u1"}):
        assert isinstance(_refusal(rig, storage="elsewhere", **selector), NotFound)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("size", [10, 700_000])
def test_a_uid_of_several_events_needs_a_digest_however_large_they_are(rig: SearchRig, stored: bool, size: int) -> None:
    rig.emit(*[event_json("same", NOON + number, pad=str(number) * size) for number in range(3)])
    if stored:
        rig.cut()
        rig.deliver()
    refused = _refusal(rig, uid="same")
    assert isinstance(refused, FailedPrecondition)
    assert (refused.reason, refused.metadata["count"]) == ("AMBIGUOUS_UID", "3")
    for item in rig.kept:
        assert _get(rig, uid="same", digest=item.position.digest).data == item.event.data


def test_equal_events_are_one_and_need_no_digest(rig: SearchRig) -> None:
    rig.store(event_json("u1"), by=ALICE)
    rig.store(event_json("u1"), by=BOB)
    assert len(_get(rig, uid="u1").receipts) == 2


@pytest.mark.parametrize("stored", [False, True])
def test_the_largest_event_is_given_whole(rig: SearchRig, stored: bool) -> None:
    raw = event_json("large", pad="y" * (16 * MIB - 200))
    [kept] = rig.emit(raw)
    if stored:
        rig.cut()
        rig.deliver()
    assert _get(rig, uid="large").data == raw
    assert _get(rig, log_id=kept.receipt.log_id, sequence=kept.receipt.sequence).data == raw


def test_an_event_whose_object_is_gone_or_changed_is_unavailable_and_not_missing(rig: SearchRig) -> None:
    [kept] = rig.store(event_json("u1"))
    [path] = rig.objects()
    whole = path.read_bytes()
    for content in (None, whole[:-1], bytes(len(whole))):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        selector = {"log_id": kept.receipt.log_id, "sequence": kept.receipt.sequence}
        assert isinstance(_refusal(rig, **selector), Unavailable)
        assert isinstance(_refusal(rig, uid="u1"), Unavailable)
        path.touch()


def test_sequences_read_from_a_changed_object_are_not_kept(rig: SearchRig) -> None:
    rig.store(event_json("u1"), event_json("u2", NOON + 1))
    [path] = rig.objects()
    whole = path.read_bytes()
    log_id = rig.kept[0].receipt.log_id
    rows = [BatchRow(3 - item.receipt.sequence, *item.event[:6], item.position.digest) for item in rig.kept]
    encode(columns_of(rows), path, log_id=log_id, first=1, last=2)
    assert isinstance(_refusal(rig, log_id=log_id, sequence=1), Unavailable)
    path.write_bytes(whole)
    assert _get(rig, log_id=log_id, sequence=1).position.uid == "u1"


def test_a_changed_object_hides_no_event_of_its_batch_that_is_in_another(rig: SearchRig) -> None:
    rig.store(event_json("u1", NOON), event_json("u2", NOON + DAY_MS))
    rig.objects()[0].write_bytes(b"")
    [kept] = [item for item in rig.kept if item.event.uid == "u2"]
    assert _get(rig, log_id=kept.receipt.log_id, sequence=kept.receipt.sequence).data == kept.event.data


def test_a_hole_in_the_journal_does_not_make_an_unknown_uid_unavailable(rig: SearchRig) -> None:
    rig.catalogue.add_holes([("0" * 20, 1, 5)], NOON)
    assert isinstance(_refusal(rig, uid="u1"), NotFound)
