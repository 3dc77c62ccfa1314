"""The columns of a batch: all events, each where a plain sort by (time, uid, digest) puts it."""

from __future__ import annotations

import random
from itertools import groupby

import numpy as np
import pytest

from server.audit_log.batch_codec import BatchColumns, BatchRow, columns_of
from server.audit_log.batch_columns import columns_by_date
from server.audit_log.batch_decoding import bytes_of, part_of
from server.audit_log.event import digest_of
from server.audit_log.tail import ANY_TIME, TailBlock
from server.audit_log.timestamps import DAY_MS, format_rfc3339, utc_date
from server.audit_log.validation import Validator, joined_payloads
from tests.unit.audit_log.emitters import NOW_MS, USER
from tests.unit.audit_log.event_mutations import SAMPLE

VALIDATOR = Validator(b"secret", 2**20)
MIDNIGHT = NOW_MS // DAY_MS * DAY_MS


def block(first: int, *raws: bytes) -> TailBlock:
    found = VALIDATOR.validate(joined_payloads(raws), USER, NOW_MS + 30 * DAY_MS)
    assert not found.refused
    return TailBlock(first, NOW_MS, b"[]", found.block)


def event(uid: str, time_ms: int = MIDNIGHT, **members: object) -> bytes:
    rest = "".join(f',"{key}":"{value}"' for key, value in members.items())
    return f'{{"event":"t","uid":"{uid}","time":"{format_rfc3339(time_ms)}"{rest}}}'.encode()


def plainly(blocks: list[TailBlock]) -> list[tuple[str, BatchColumns]]:
    """The same from rows that are sorted one by one."""
    rows = [
        BatchRow(
            row.sequence, each.time_ms, each.type, each.uid, each.session_id, each.user, each.data, digest_of(each.data)
        )
        for item in blocks
        for row in item.rows(*ANY_TIME)
        for each in [row.event]
    ]
    by_date = groupby(sorted(rows, key=lambda row: row.time_ms), key=lambda row: utc_date(row.time_ms))
    return [(date, columns_of(list(some))) for date, some in by_date]


def check(*blocks: TailBlock) -> list[tuple[str, BatchColumns]]:
    found, wanted = list(columns_by_date(blocks)), plainly(list(blocks))
    assert [date for date, _ in found] == [date for date, _ in wanted]
    for (_, columns), (_, plain) in zip(found, wanted, strict=True):
        assert columns.sequences.tolist() == plain.sequences.tolist()
        assert columns.times_ms.tolist() == plain.times_ms.tolist()
        for name in ("types", "uids", "session_ids", "users", "data"):
            column = getattr(columns, name)
            column.validate(full=True)
            assert column.equals(getattr(plain, name)), name
    return found


def test_of_no_blocks_there_are_no_columns() -> None:
    assert list(columns_by_date([])) == []


def test_the_real_events_come_in_order_a_date_at_a_time() -> None:
    found = check(block(1, *SAMPLE[:30]), block(31, *SAMPLE[30:]))
    assert len(found) == 20
    assert sum(len(columns.sequences) for _, columns in found) == len(SAMPLE)


def test_one_event_is_a_batch() -> None:
    check(block(7, event("u")))


LONG = "x" * 40
TIES = {
    "equal times": [event(uid) for uid in ("b", "a", "ab", "B", "~", "!", "a!", "abc")],
    "a prefix is first": [event("x" * length) for length in (9, 128, 7, 41, 8, 40, 39, 16, 127, 42, 1)],
    "long equal prefixes": [event(LONG + tail) for tail in ("b", "a", "", "ab", "~" * 88, "aa")],
    "equal uids": [event("u", n=number) for number in range(9)],
    "equal long uids": [event(LONG + "u", n=number) for number in range(9)],
    "equal events": [event("u")] * 5 + [event(LONG)] * 3,
    "runs of ties": [
        event(uid, MIDNIGHT + ms, n=n) for n in range(3) for uid in (LONG, LONG + "a", "u") for ms in (1, 0)
    ],
    "a tie at either end": [event("a", n=1), event("b"), event("c", n=2), event("c", n=1), event("a", n=2)],
    "dates": [event("u", MIDNIGHT + ms) for ms in (0, -1, DAY_MS - 1, DAY_MS, -DAY_MS, 1 - DAY_MS, 5 * DAY_MS)],
    "texts": [event(sid or "u", user=user, sid=sid) for user, sid in (("é", ""), ("", "s"), ("😀" * 50, "t"))],
}  # fmt: skip


@pytest.mark.parametrize("name", TIES)
@pytest.mark.parametrize("seed", range(3))
def test_ties_are_broken_as_searches_break_them(name: str, seed: int) -> None:
    raws = list(TIES[name])
    random.Random(seed).shuffle(raws)
    check(block(1, *raws))
    check(*(block(1 + 2 * number, raw) for number, raw in enumerate(raws)))


def test_any_events_of_any_blocks_come_in_order() -> None:
    chance = random.Random(11)
    heads = ["", "a", "x" * 8, "x" * 39, LONG, LONG + "y" * 60]
    for _ in range(40):
        blocks, sequence = [], chance.choice([1, 2**33])
        for _ in range(chance.randrange(1, 7)):
            raws = [
                event(
                    chance.choice(heads) + chance.choice(["a", "b", "~", "ab"]),
                    MIDNIGHT + chance.randrange(3) + chance.choice([0, 0, DAY_MS]),
                    **({"user": chance.choice(["bob", "é", "\\n"])} if chance.randrange(2) else {}),
                )
                for _ in range(chance.randrange(1, 20))
            ]
            blocks.append(block(sequence, *raws))
            sequence = blocks[-1].last + chance.choice([1, 1, 5])
        check(*blocks)


def test_events_that_a_block_lost_to_retries_are_in_no_column() -> None:
    whole = block(1, event("a"), event("b"), event("c"))
    fewer = whole._replace(block=whole.block.only(np.array([True, False, True])))
    ((_, columns),) = check(fewer)
    assert (columns.uids.to_pylist(), columns.sequences.tolist()) == (["a", "c"], [1, 2])


def test_of_a_part_all_is_kept_in_memory_that_it_is_a_part_of() -> None:
    rows = [BatchRow(number, 0, "a", "u", "", "", b"x" * 10_000, "") for number in range(100)]
    assert bytes_of(part_of(columns_of(rows), 0, 1)) > 1_000_000
