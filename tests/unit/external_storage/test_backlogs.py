"""What waits for a storage, diverted over a state database: who may not be, what is told, and in which turn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from server.audit_log.cuts import Cut
from server.audit_log.tail import Tail
from server.errors import FailedPrecondition, InvalidRequest, NotFound
from server.external_storage import events
from server.external_storage.backlogs import Backlogs, DiversionRequest
from server.external_storage.in_turn import InTurn
from server.external_storage.promotions import PromotionRequest
from tests.loops import in_loop
from tests.storages_under_test import REQUEST, Storages, access, storages

LOG, GONE = "0" * 20, "aws-gone"
ASKED = DiversionRequest(GONE, "default", "the account was closed")


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Storages]:
    with storages(tmp_path) as made:
        yield made


def tail_of(storage: str, *ranges: tuple[int, int]) -> Tail:
    """With cut sections of these sequences, and without their events."""
    tail = Tail()
    for first, last in ranges:
        tail.begin(LOG, first, storage).cut = Cut(LOG, first, last, storage)
    return tail


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"storage_id": ""}, ["storage_id"]),
        ({"storage_id": "x" * 129}, ["storage_id"]),
        ({"storage_id": "default"}, ["storage_id"]),
        ({"to": ""}, ["to"]),
        ({"to": "aws-other"}, ["to"]),
        ({"storage_id": "", "to": GONE}, ["storage_id", "to"]),
    ],
)
@in_loop
async def test_everything_wrong_with_a_request_is_told_at_once(
    behind: Storages, changes: dict[str, str], fields: list[str]
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await behind.backlogs(tail_of(GONE, (1, 2))).divert(access(), replace(ASKED, **changes))
    assert [each.field for each in refused.value.violations] == fields
    assert behind.events() == []


@in_loop
async def test_what_is_diverted_is_told_with_its_sequences_and_once(
    behind: Storages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_RANGES", 1)
    backlogs = behind.backlogs(tail_of(GONE, (1, 4), (5, 9), (20, 21)))
    shown = await backlogs.divert(access(), replace(ASKED, for_show=True))
    assert (shown.backlog.batches, behind.events()) == (3, [])
    assert await backlogs.divert(access(), ASKED) == shown
    assert (await backlogs.divert(access(), ASKED)).backlog.batches == 0
    (event,) = behind.events()
    assert (event["event"], event["code"], event["user"]) == ("extaudit.storage.divert", "XA8205W", "alice")
    assert (event["storage_id"], event["to"], event["reason"]) == (GONE, "default", "the account was closed")
    assert event["sequences"] == [{"log_id": LOG, "first_sequence": 1, "last_sequence": 9}]
    assert (event["batches"], event["more_sequences"]) == (3, 1)


@in_loop
async def test_the_storage_in_force_is_refused_though_the_journals_do_not_know_yet(behind: Storages) -> None:
    """And one that was never heard of isn't there."""
    draft = await behind.drafts.create(access(), REQUEST)
    behind.add_test(draft.revision)
    await behind.promotions.promote(access(), PromotionRequest(draft.revision))
    backlogs, told = behind.backlogs(tail_of(draft.storage_id, (1, 2))), len(behind.events())
    for for_show in (False, True):
        with pytest.raises(FailedPrecondition) as refused:
            await backlogs.divert(access(), DiversionRequest(draft.storage_id, "default", for_show=for_show))
        assert refused.value.reason == "STORAGE_ACTIVE"
        with pytest.raises(NotFound):
            await backlogs.divert(access(), DiversionRequest("aws-nowhere", "default", for_show=for_show))
    assert len(behind.events()) == told


@in_loop
async def test_a_diversion_waits_its_turn(behind: Storages) -> None:
    """So that a storage can't become active while what waits for it is taken elsewhere."""
    in_turn, gate, order = InTurn(), asyncio.Event(), list[str]()

    async def promotion() -> None:
        await gate.wait()
        order.append("promoted")

    first = asyncio.create_task(in_turn.do(promotion()))
    await asyncio.sleep(0)
    made = behind.backlogs(tail_of(GONE, (1, 2)))
    backlogs = Backlogs(behind.store, made._diverting, made._uploads, in_turn)
    second = asyncio.create_task(backlogs.divert(access(), ASKED))
    done, _ = await asyncio.wait({second}, timeout=0.2)  # long enough for one that doesn't wait
    assert (done, behind.events()) == (set(), [])
    gate.set()
    await asyncio.gather(first, second)
    assert (order, len(behind.events())) == (["promoted"], 1)
