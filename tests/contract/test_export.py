"""Exports over a real log and storage: every event of a chunk once and in order, filtered, resumed, bounded, named."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from extaudit.v1 import event_query_pb2 as query_pb

from rbac.formulas import ALWAYS, Formula
from rbac.identities import Identity, IdentityKind
from server.audit_log.export.blocks import BLOCK_BYTES, MESSAGE_BYTES
from server.audit_log.export.chunk import ChunkQuery, ExportQuery
from server.audit_log.search.page_reader import OMIT_BYTES
from server.audit_log.search.query import EventFilter, emitter_test
from server.audit_log.search.rights import condition_of
from server.storage.matching import compile_filters
from server.storage.query import FieldEquality, Filters
from tests.contract.export_rig import OPEN, Exporting, fill, in_loop, row_of, rows_of
from tests.contract.search_rig import NOON, event_json


def test_a_chunk_gives_every_event_as_it_was_acknowledged_in_blocks_of_a_page(exporting: Exporting) -> None:
    kept = fill(exporting.rig)
    assert len(exporting.rig.objects()) == 2
    messages = exporting.given(ExportQuery(exporting.chunk()))
    assert rows_of(messages) == [row_of(each) for each in kept]
    assert len(messages) > 1
    assert all(len(message.columns.json) <= BLOCK_BYTES for message in messages)
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
    exporting.condition = OPEN  # of the rest the name would tell that there were events of that date
    [part] = exporting.given(ExportQuery(exporting.chunk()))[-1].missing
    assert (part.reason, part.storage, part.name) == (reason, "default", "")


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


def test_foreign_objects_that_nobody_searched_for_are_counted(exporting: Exporting) -> None:
    [kept] = exporting.rig.store(event_json("u"))
    [path] = exporting.rig.objects()
    path.with_name("of-others.parquet").write_bytes(path.read_bytes())
    page = in_loop(exporting.exports.chunks(exporting.access(), ChunkQuery()))
    assert (page.foreign_objects, page.complete_through) == (1, {kept.receipt.log_id: 1})
