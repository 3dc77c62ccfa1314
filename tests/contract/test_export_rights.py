"""Exports and the rights, places and traces of callers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from rbac.formulas import ALWAYS, Operator, Test
from rbac.identities import Identity, IdentityKind
from server.audit_log.access import Access
from server.audit_log.export.blocks import EventBlock
from server.audit_log.export.chunk import ChunkQuery, ExportQuery
from server.errors import NotFound, ResourceExhausted, Unavailable
from server.grpc_api.export_messages import encoded_block
from tests.contract.export_rig import OPEN, Exporting, fill, in_loop, row_of, rows_of
from tests.contract.search_rig import BOB, NOON, Kept, SearchRig, event_json

SECRET = Test(("level",), Operator.ONE_OF, ("secret",), True)


def test_rights_that_change_count_from_the_next_block_on(exporting: Exporting) -> None:
    kept = fill(exporting.rig, 100, size=60_000)

    def lose() -> None:
        exporting.condition = OPEN

    first, *rest = exporting.given(ExportQuery(exporting.chunk()), lose)
    later = [each for each in kept if each.receipt.sequence > first.through_sequence]
    assert len(rest) > 1
    assert rows_of(rest) == [row_of(each) for each in later if b'"level":"open"' in each.event.data]
    assert len(rows_of([first])) + len(later) == len(kept)


def test_rights_that_change_between_the_messages_of_one_block_count_for_the_next_message(exporting: Exporting) -> None:
    rig, kept = exporting.rig, list[Kept]()
    for number in range(900):
        who = Identity(IdentityKind.USER, f"{number}" + "n" * 8_000, frozenset(), "anchor", "a1")
        kept += rig.emit(event_json(f"u-{number}", level="secret" if number % 2 else "open"), by=who)
    rig.cut()
    rig.deliver()
    rights = iter([ALWAYS])

    def change() -> None:
        exporting.condition = next(rights, OPEN)

    first, second, *rest = exporting.given(ExportQuery(exporting.chunk()), change)
    assert all(len(message.columns.emitters) > 1 for message in (first, second)), "one block is several messages"
    later = [each for each in kept if each.receipt.sequence > second.through_sequence]
    assert rows_of(rest) == [row_of(each) for each in later if b'"level":"open"' in each.event.data]
    assert rest[-1].done


def test_rights_that_change_while_a_block_is_made_anew_count_as_well(exporting: Exporting) -> None:
    kept = fill(exporting.rig, 100, size=60_000)

    def convert(block: EventBlock) -> bytes:
        if exporting.condition == OPEN and b'"secret"' not in bytes(block.json):  # it is the one made anew
            exporting.condition = SECRET
        return encoded_block(block)

    def change() -> None:
        if exporting.condition == ALWAYS:
            exporting.condition = OPEN

    first, *rest = exporting.given(ExportQuery(exporting.chunk()), change, convert)
    later = [each for each in kept if each.receipt.sequence > first.through_sequence]
    assert rows_of(rest) == [row_of(each) for each in later if b'"level":"secret"' in each.event.data]


def test_an_end_is_told_with_how_much_left_also_of_one_that_was_broken_off(exporting: Exporting) -> None:
    kept = fill(exporting.rig)
    chunk = exporting.chunk()
    messages = exporting.given(ExportQuery(chunk))
    assert len(messages) > 1
    assert exporting.traces.ended == [(len(kept), sum(len(m.SerializeToString()) for m in messages), chunk.last)]

    async def broken_off() -> None:
        blocks = exporting.exports.events(exporting.access, ExportQuery(chunk), encoded_block)
        await anext(blocks)
        await blocks.aclose()

    in_loop(broken_off())
    first = messages[0]
    told = (len(first.columns.sequences), len(first.SerializeToString()), first.through_sequence)
    assert exporting.traces.ended[1:] == [told]


def test_a_chunk_that_is_not_there_is_traced_and_not_found(exporting: Exporting) -> None:
    exporting.rig.store(*(event_json(f"u-{number}") for number in range(3)))
    chunk = exporting.chunk()
    others = [
        chunk._replace(storage="s3"), chunk._replace(log_id="0" * 20), chunk._replace(first=2),
        chunk._replace(last=2), chunk._replace(last=4),
    ]  # fmt: skip
    for other in others:
        with pytest.raises(NotFound):
            exporting.given(ExportQuery(other))
    assert exporting.traces.told == [{"chunk": str(other), "found": False} for other in others]


def test_what_cannot_be_traced_is_not_given(exporting: Exporting) -> None:
    exporting.rig.store(event_json("u"))
    exporting.traces.fails = True
    with pytest.raises(Unavailable):
        exporting.given(ExportQuery(exporting.chunk()))
    with pytest.raises(Unavailable):
        in_loop(exporting.exports.chunks(exporting.access(), ChunkQuery()))


def test_no_more_exports_are_under_way_than_may_be_and_an_end_makes_room(exporting: Exporting) -> None:
    fill(exporting.rig)
    query = ExportQuery(exporting.chunk())

    async def crowd() -> None:
        under_way = [exporting.exports.events(exporting.access, query, encoded_block) for _ in range(2)]
        for each in under_way:
            await anext(each)
        with pytest.raises(ResourceExhausted) as refused:
            await anext(exporting.exports.events(exporting.access, query, encoded_block))
        assert refused.value.retry_after > 0
        await under_way[0].aclose()
        await anext(exporting.exports.events(exporting.access, query, encoded_block))

    in_loop(crowd())


def test_no_caller_has_all_places_for_exports(rig: SearchRig) -> None:
    rig.store(event_json("u"))
    with ThreadPoolExecutor(2) as threads:
        exporting = Exporting(rig, threads, most=4)
        query = ExportQuery(exporting.chunk())

        async def crowd() -> None:
            under_way = [exporting.exports.events(exporting.access, query, encoded_block) for _ in range(3)]
            for each in under_way:
                await anext(each)
            with pytest.raises(ResourceExhausted):
                await anext(exporting.exports.events(exporting.access, query, encoded_block))
            await anext(exporting.exports.events(lambda: Access(BOB, "peer", "id", ALWAYS), query, encoded_block))
            await under_way[0].aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(under_way[0])

        in_loop(crowd())


def test_a_caller_with_a_condition_gets_a_list_of_sequences_alone(exporting: Exporting) -> None:
    exporting.rig.store(event_json("u"))
    query = ChunkQuery(from_ms=NOON)
    [whole] = in_loop(exporting.exports.chunks(exporting.access(), query)).chunks
    exporting.condition = OPEN
    [part] = in_loop(exporting.exports.chunks(exporting.access(), query)).chunks
    assert (whole.id, whole.events, part.id, part.events, part.first_ms) == (part.id, 1, whole.id, 0, None)


@pytest.mark.parametrize("hidden", [10, 700_000])
def test_no_bound_of_a_message_tells_the_sizes_of_events_that_the_caller_may_not_see(
    exporting: Exporting, hidden: int
) -> None:
    """One who moves the beginning of what is asked for would measure each of them."""
    for number in range(3):
        exporting.rig.emit(event_json(f"h-{number}", level="secret", text="x" * hidden))
        exporting.rig.emit(event_json(f"u-{number}", level="open", text="x" * 400_000))
    exporting.rig.cut()
    exporting.rig.deliver()
    exporting.condition = OPEN
    chunk = exporting.chunk()
    messages = exporting.given(ExportQuery(chunk))
    told = [(list(message.columns.sequences), message.through_sequence) for message in messages]
    assert told == [([2, 4], 4), ([6], chunk.last)]
