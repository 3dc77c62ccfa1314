"""The frames of a group, written by compiled code: those of the plain encoding, and read back as what was committed."""

from __future__ import annotations

import random

import numpy as np

from rbac.identities import Identity
from server.audit_log.columns.layout import FINGERPRINT, UID_KEY
from server.audit_log.event_block import rows_of
from server.audit_log.journal.frames import EventFrame, GroupFrames, encode_commit, encode_event
from server.audit_log.journal.journal import Journal
from server.audit_log.journal.recovery import RecoveredSection
from server.audit_log.journal.segments import read_log
from server.audit_log.known_uids import Claims, KnownUids, UidLimits
from server.audit_log.opening import _received_in_turn, _section
from server.audit_log.receipts import encode_emitter
from server.audit_log.tail import CommitGroup, Tail, TailBlock
from server.audit_log.timestamps import DAY_MS
from server.audit_log.validation import Validator, joined_payloads
from tests.crash.forgetful_files import ForgetfulFiles
from tests.crash.log_under_test import PLACES
from tests.unit.audit_log.emitters import NOW_MS, USER, fingerprint
from tests.unit.audit_log.event_mutations import SAMPLE, changed

LOG = "0" * 20
VALIDATOR = Validator(b"secret", 2**20)
LATER_MS = NOW_MS + 30 * DAY_MS
SLOW = b'{"event":"b\\n","uid":"u-2","time":"2026-11-01T05:30:00+05:30","user":{"user":"b\xc3\xa9"},"sid":7} '
BARE = b'{"event":"c"}'
OTHER = Identity(USER.kind, "böb@https://id.test", USER.roles, "https://id.test", token_id="t")


def block(first: int, raws: list[bytes], emitter: Identity = USER, received_ms: int = LATER_MS) -> TailBlock:
    validated = VALIDATOR.validate(joined_payloads(raws), emitter, LATER_MS)
    return TailBlock(first, received_ms, encode_emitter(emitter, "ipv4:127.0.0.1:5"), validated.block)


def together(blocks: list[TailBlock]) -> CommitGroup:
    return CommitGroup(blocks, rows_of([item.block for item in blocks]))


def plainly(blocks: list[TailBlock]) -> bytes:
    frames = [
        encode_event(
            EventFrame(
                item.first + index, item.received_ms, fingerprint(item.block.table, index), item.receipt, event.data
            )
        )
        for item in blocks
        for index, event in enumerate(map(item.block.event, range(len(item.block))))
    ]
    return b"".join(frames) + encode_commit(blocks[0].first, blocks[-1].last, len(frames))


def groups() -> list[list[TailBlock]]:
    """Groups of fast, slow and completed events, with retries left out, of two emitters, large and small."""
    chance = random.Random(4)
    mixed = [*SAMPLE[:20], SLOW, BARE, BARE + b" "]
    few = block(24, mixed)
    some = few.block.only(np.arange(len(few.block)) % 3 != 1)
    large = b'{"event":"t","uid":"u-large","time":"2026-11-01T00:00:00Z","x":"%b"}' % (b"x" * 100_000)
    return [
        [block(1, mixed)],
        [few._replace(block=some)],
        [block(100, [SLOW]), block(101, [BARE, SAMPLE[0]], OTHER), block(103, [SAMPLE[5]], received_ms=1)],
        [block(2**40, [large, SAMPLE[3]]), block(2**40 + 2, [BARE])],
        [block(2**50, [changed(chance.choice(SAMPLE), chance) for _ in range(200)] + [BARE])],
        [block(2**62, [SAMPLE[2]])],
    ]


def test_the_frames_of_a_group_are_those_of_the_plain_encoding() -> None:
    frames = GroupFrames()
    for group in groups():
        assert frames.encode(together(group)) == plainly(group)
    for group in reversed(groups()):
        assert frames.encode(together(group)) == plainly(group), "whatever was in the room before"


def test_what_was_committed_is_read_back_block_for_block() -> None:
    """Events, fingerprints and uid keys, so that a retry is known as one after a restart too."""
    files = ForgetfulFiles()
    journal = Journal(files, PLACES.journal, LOG, 1, "default")
    committed: list[TailBlock] = []
    for group in groups():
        blocks: list[TailBlock] = []
        for item in group:
            first = blocks[-1].last + 1 if blocks else journal.next_sequence
            blocks.append(item._replace(first=first, received_ms=LATER_MS + first))
        journal.commit(together(blocks))
        committed += blocks
    (segment,) = read_log(files, PLACES.journal / LOG, LOG).segments
    known = KnownUids(UidLimits())
    recovered = RecoveredSection(LOG, 1, "default", segment.events, None, False, False)
    section = _section(tail := Tail(), recovered, VALIDATOR)
    for log_id, table in _received_in_turn([], tail):
        known.add(log_id, table)
    assert len(section.blocks) == len(committed)
    assert section.bytes == sum(item.block.bytes for item in committed)
    assert section.days == frozenset.union(*(item.block.days for item in committed))
    for found, wanted in zip(section.blocks, committed, strict=True):
        assert (found.first, found.received_ms, found.receipt) == (wanted.first, wanted.received_ms, wanted.receipt)
        for index in range(len(wanted.block)):
            assert found.block.event(index) == wanted.block.event(index)
        columns = [UID_KEY, FINGERPRINT, FINGERPRINT + 1]
        assert found.block.table[:, columns].tolist() == wanted.block.table[:, columns].tolist()
    places: dict[tuple[str, bytes], int] = {}
    for item in committed:
        events = [(item.block.uid(index), fingerprint(item.block.table, index)) for index in range(len(item.block))]
        again = {index: (LOG, places.setdefault(each, item.first + index)) for index, each in enumerate(events)}
        assert known.claim(item.block.table, "f" * 20, 1, LATER_MS) == Claims(again, [])


def test_a_gap_in_the_sequences_ends_a_block() -> None:
    lines = [SAMPLE[index] for index in range(4)]
    whole = block(1, lines)
    events = [
        EventFrame(sequence, 5, fingerprint(whole.block.table, index), whole.receipt, whole.block.event(index).data)
        for index, sequence in enumerate((1, 2, 4, 5))
    ]
    section = _section(Tail(), RecoveredSection(LOG, 1, "default", events, None, False, False), VALIDATOR)
    assert [(item.first, item.last) for item in section.blocks] == [(1, 2), (4, 5)]
    assert [row.sequence for item in section.blocks for row in item.rows(0, 2**62)] == [1, 2, 4, 5]
