"""Exports over a real log and storage: every event of a chunk once and in order, filtered, resumed, bounded, named."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from extaudit.v1 import event_export_pb2 as pb
from extaudit.v1 import event_query_pb2 as query_pb
from prometheus_client import CollectorRegistry

from rbac.formulas import ALWAYS, Formula, Operator, Test
from rbac.identities import Identity, IdentityKind
from server.audit_log.access import Access
from server.audit_log.export.blocks import MESSAGE_BYTES, Convert, EventBlock
from server.audit_log.export.chunk import ChunkId, ChunkPage, ChunkQuery, ExportQuery
from server.audit_log.export.exports import Exports
from server.audit_log.export.listing import ChunkListing
from server.audit_log.export.tokens import ChunkTokens
from server.audit_log.search.page_reader import OMIT_BYTES, PAGE_BYTES
from server.audit_log.search.query import EventFilter, emitter_test
from server.audit_log.search.rights import condition_of
from server.audit_log.stored_batches import StoredBatches
from server.errors import NotFound, ResourceExhausted, Unavailable
from server.grpc_api.export_messages import encoded_block
from server.observability.export_metrics import ExportMetrics
from server.observability.instruments import Instruments
from server.storage.matching import compile_filters
from server.storage.query import FieldEquality, Filters
from tests.contract.search_rig import ALICE, BOB, DAY_MS, NODE, NOON, Kept, SearchRig, event_json

OPEN = Test(("level",), Operator.ONE_OF, ("open",), True)
SECRET = Test(("level",), Operator.ONE_OF, ("secret",), True)


@dataclass
class Traces:
    """Where the traces go."""

    told: list[dict[str, Any]] = field(default_factory=list)
    ended: list[tuple[int, int, int]] = field(default_factory=list)
    """Of each export that ended how many events and bytes left, and how far its chunk was looked at."""
    fails: bool = False

    async def exported(self, access: Access, query: ExportQuery, *, found: bool) -> None:
        self._tell(chunk=str(query.chunk), found=found)

    def export_ended(self, access: Access, query: ExportQuery, *, events: int, size: int, through: int) -> None:
        self.ended.append((events, size, through))

    async def chunks_listed(self, access: Access, query: ChunkQuery, page: ChunkPage) -> None:
        self._tell(chunks=len(page.chunks))

    def _tell(self, **members: Any) -> None:
        if self.fails:
            raise Unavailable("no", reason="JOURNAL_CLOSED")
        self.told.append(members)


@dataclass
class Exporting:
    """The use cases over a rig."""

    rig: SearchRig
    threads: ThreadPoolExecutor
    traces: Traces = field(default_factory=Traces)
    condition: Formula = ALWAYS
    """Of the caller's rights, as of now."""
    most: int = 2

    def __post_init__(self) -> None:
        rig = self.rig
        listing = ChunkListing(
            "default", rig.log.tail, rig.catalogue, ChunkTokens(b"k" * 32), rig.search.foreign.refresh
        )
        batches = StoredBatches(rig.storage, rig.catalogue)
        self.metrics = CollectorRegistry()
        metrics = ExportMetrics(Instruments(self.metrics, []))
        self.exports = Exports(
            listing, batches, rig.catalogue, self.threads, self.traces, metrics, most=self.most,  # type: ignore[arg-type]
        )  # fmt: skip

    def access(self) -> Access:
        return Access(ALICE, "peer", "id", self.condition)

    def chunk(self) -> ChunkId:
        [batch] = self.rig.catalogue.batches()
        return ChunkId.of(batch)

    def given(
        self, query: ExportQuery, between: Callable[[], object] = lambda: None, convert: Convert = encoded_block
    ) -> list[pb.ExportEventsResponse]:
        """All messages; `between` is called after each."""

        async def collect() -> list[pb.ExportEventsResponse]:
            found = []
            async for block in self.exports.events(self.access, query, convert):
                message = pb.ExportEventsResponse.FromString(block.data)
                assert block.events == len(message.columns.sequences)
                found.append(message)
                between()
            return found

        return in_loop(collect())


def in_loop(work: Awaitable[Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(30):
            return await work

    return asyncio.run(bounded())


@pytest.fixture
def exporting(rig: SearchRig) -> Iterator[Exporting]:
    with ThreadPoolExecutor(2) as threads:
        yield Exporting(rig, threads)


def fill(rig: SearchRig, count: int = 60, *, size: int = 40_000) -> list[Kept]:
    """One batch over two dates, of several emitters, sizes, types, users, sessions and levels."""
    rng = random.Random(count)
    kept = []
    for number in range(count):
        event = event_json(
            f"u-{number}",
            NOON + rng.randrange(2) * DAY_MS - rng.randrange(5_000),
            rng.choice(["user.login", "session.start", "ü.ß"]),
            user=rng.choice(["alice", "bob", "ü" * 40]),
            sid=rng.choice(["", "s-1", "s-2"]),
            level=rng.choice(["open", "secret"]),
            text="x" * rng.randrange(size),
        )
        kept += rig.emit(event, by=rng.choice([ALICE, BOB, NODE]), received_ms=NOON + rng.randrange(9))
    rig.cut()
    rig.deliver()
    return kept


def rows_of(messages: Sequence[pb.ExportEventsResponse]) -> list[tuple[Any, ...]]:
    """Everything that is said of each event."""
    found: list[tuple[Any, ...]] = []
    for message in messages:
        columns, start = message.columns, 0
        assert (columns.storage, len(columns.log_id)) == ("default", 20)
        lists = (
            columns.sequences, columns.times_ms, columns.types, columns.uids, columns.session_ids, columns.users,
            columns.json_sizes, columns.emitter_numbers, columns.received_times_ms,
        )  # fmt: skip
        for row in zip(*lists, strict=True):
            *members, size, number, received = row
            who = columns.emitters[number - 1]
            found.append((*members, columns.json[start : start + size], who.emitter.name, who.peer, received))
            start += size
        assert start == len(columns.json)
    return found


def row_of(kept: Kept) -> tuple[Any, ...]:
    event, receipt = kept.event, kept.receipt
    assert receipt.emitter is not None
    return (
        receipt.sequence, event.time_ms, event.type, event.uid, event.session_id, event.user, event.data,
        receipt.emitter.name, receipt.peer, receipt.received_ms,
    )  # fmt: skip


def test_a_chunk_gives_every_event_as_it_was_acknowledged_in_blocks_of_a_page(exporting: Exporting) -> None:
    kept = fill(exporting.rig)
    assert len(exporting.rig.objects()) == 2
    messages = exporting.given(ExportQuery(exporting.chunk()))
    assert rows_of(messages) == [row_of(each) for each in kept]
    assert len(messages) > 1
    assert all(len(message.columns.json) <= PAGE_BYTES for message in messages)
    assert [message.done for message in messages] == [False] * (len(messages) - 1) + [True]
    assert [message.through_sequence for message in messages] == [m.columns.sequences[-1] for m in messages]
    assert not any(message.missing for message in messages)
    assert exporting.traces.told == [{"chunk": str(exporting.chunk()), "found": True}]
    assert exporting.metrics.get_sample_value("extaudit_exported_events_total") == len(kept)


def test_after_any_sequence_come_exactly_the_events_that_follow(exporting: Exporting) -> None:
    kept = [row_of(each) for each in fill(exporting.rig)]
    chunk = exporting.chunk()
    for after in range(chunk.first - 1, chunk.last + 1):
        messages = exporting.given(ExportQuery(chunk, after))
        assert rows_of(messages) == [row for row in kept if row[0] > after]
        assert (messages[-1].done, messages[-1].through_sequence) == (True, chunk.last)


FILTERS = [
    Filters(from_ms=NOON),
    Filters(to_ms=NOON, types=frozenset({"ü.ß"})),
    Filters(users=frozenset({"bob", "ü" * 40}), session_id="s-1"),
    Filters(uids=frozenset({"u-3", "u-50", "none"})),
    Filters(text='"LEVEL":"secret"'),
    Filters(fields=(FieldEquality(("level",), "secret"),), types=frozenset({"user.login"})),
    Filters(types=frozenset({"none"})),
    Filters(),
]
EMITTERS: list[tuple[set[str], set[IdentityKind]]] = [
    (set(), set()),
    ({"alice", "node-1"}, set()),
    (set(), {IdentityKind.USER}),
    ({"alice"}, {IdentityKind.COMPONENT}),
]


@pytest.mark.parametrize("condition", [ALWAYS, OPEN])
def test_a_filter_and_the_rights_leave_what_they_leave_of_a_search(condition: Formula, exporting: Exporting) -> None:
    kept = fill(exporting.rig, 100, size=60_000)
    exporting.condition = condition
    for filters, (emitters, kinds) in itertools.product(FILTERS, EMITTERS):
        wanted = EventFilter(filters, frozenset(emitters), frozenset(kinds))
        matches = compile_filters(replace(filters, condition=condition_of(exporting.access())))
        by = emitter_test(wanted) or (lambda _: True)
        expected = [
            row_of(each) for each in kept if matches(*each.event[:6]) and each.emitter is not None and by(each.emitter)
        ]
        messages = exporting.given(ExportQuery(exporting.chunk(), wanted=wanted))
        assert rows_of(messages) == expected
        assert messages[-1].done
        assert all(message.columns.sequences for message in messages[:-1])
        reached = [message.through_sequence for message in messages]
        assert reached == sorted(set(reached))


@pytest.mark.parametrize(("from_ms", "to_ms"), [(NOON, NOON + 1), (NOON, NOON + 2), (NOON + 1, NOON + 2), (NOON, NOON)])
def test_times_are_from_the_first_and_before_the_last(from_ms: int, to_ms: int, exporting: Exporting) -> None:
    kept = exporting.rig.store(*(event_json(f"u-{number}", NOON + number) for number in range(3)))
    wanted = EventFilter(Filters(from_ms=from_ms, to_ms=to_ms))
    rows = rows_of(exporting.given(ExportQuery(exporting.chunk(), wanted=wanted)))
    assert rows == [row_of(each) for each in kept if from_ms <= each.event.time_ms < to_ms]


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


def test_an_event_larger_than_an_answer_comes_without_its_json(exporting: Exporting) -> None:
    large = event_json("large", user="u" * 5_000, text="x" * OMIT_BYTES)
    fits = event_json("fits", text="x" * (OMIT_BYTES - 1_000))
    kept = exporting.rig.store(event_json("a"), large, fits, event_json("b"))
    messages = exporting.given(ExportQuery(exporting.chunk()))
    rows = rows_of(messages)
    assert [row[6] for row in rows] == [kept[0].event.data, b"", fits, kept[3].event.data]
    assert rows[1][:6] == (kept[1].receipt.sequence, NOON, "user.login", "large", "", "u" * 1024)
    assert all(message.ByteSize() < MESSAGE_BYTES + 65_536 for message in messages)


def test_a_message_is_bounded_though_every_event_has_an_emitter_with_a_long_name(exporting: Exporting) -> None:
    rig = exporting.rig
    kept = []
    for number in range(900):
        who = Identity(IdentityKind.USER, f"{number}" + "n" * 8_000, frozenset(), "anchor", "a1")
        kept += rig.emit(event_json(f"u-{number}"), by=who)
    rig.cut()
    rig.deliver()
    messages = exporting.given(ExportQuery(exporting.chunk()))
    assert rows_of(messages) == [row_of(each) for each in kept]
    assert len(messages) > 1
    assert all(message.ByteSize() <= MESSAGE_BYTES for message in messages)
    assert [message.done for message in messages] == [False] * (len(messages) - 1) + [True]


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Path.unlink, query_pb.MISSING_REASON_OBJECT_MISSING),
        (_flip, query_pb.MISSING_REASON_OBJECT_CHANGED),
    ],
)
def test_an_object_that_others_changed_is_named_and_nothing_of_it_is_given(
    fault: Callable[[Path], object], reason: int, exporting: Exporting
) -> None:
    kept = fill(exporting.rig)
    path = exporting.rig.objects()[0]
    fault(path)
    messages = exporting.given(ExportQuery(exporting.chunk()))
    assert rows_of(messages) == [row_of(each) for each in kept if each.event.time_ms > NOON]
    [part] = messages[-1].missing
    assert (part.reason, part.storage, part.name) == (reason, "default", f"{path.parent.name}/{path.name}")
    assert (messages[-1].done, messages[-1].through_sequence) == (True, exporting.chunk().last)
    assert exporting.metrics.get_sample_value("extaudit_export_incomplete_total") == 1


def test_without_its_record_a_chunk_gives_events_of_emitters_that_are_not_known(exporting: Exporting) -> None:
    kept = fill(exporting.rig)
    [record] = exporting.rig.events_folder.glob("_batches/*/*.json")
    record.write_bytes(b"{}")
    messages = exporting.given(ExportQuery(exporting.chunk()))
    assert [size for message in messages for size in message.columns.json_sizes] == [len(k.event.data) for k in kept]
    assert not any(any(m.columns.emitter_numbers) or any(m.columns.received_times_ms) for m in messages)
    assert [part.reason for part in messages[-1].missing] == [query_pb.MISSING_REASON_RECEIPTS_UNREADABLE]
    [message] = exporting.given(ExportQuery(exporting.chunk(), wanted=EventFilter(emitters=frozenset({"alice"}))))
    assert (list(message.columns.sequences), message.done, len(message.missing)) == ([], True, 1)


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


def test_foreign_objects_that_nobody_searched_for_are_counted(exporting: Exporting) -> None:
    [kept] = exporting.rig.store(event_json("u"))
    [path] = exporting.rig.objects()
    path.with_name("of-others.parquet").write_bytes(path.read_bytes())
    page = in_loop(exporting.exports.chunks(exporting.access(), ChunkQuery()))
    assert (page.foreign_objects, page.complete_through) == (1, {kept.receipt.log_id: 1})
