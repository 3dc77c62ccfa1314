"""The validation of a message: whatever way its events go, as if the rules had been asked for one after the other."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from rbac.identities import SERVICE, Identity, IdentityKind
from server.audit_log.columns.hashing import uid_key
from server.audit_log.columns.layout import COLUMNS, FINGERPRINT, STATE, UID_KEY
from server.audit_log.emitter_bytes import MAX_REMEMBERED
from server.audit_log.event import Event, parse_event
from server.audit_log.event_block import join_blocks
from server.audit_log.timestamps import DAY_MS, format_rfc3339
from server.audit_log.validation import Validated, Validator, joined_payloads, single_payload
from server.errors import InvalidRequest, PermissionDenied, Violation
from tests.unit.audit_log.emitters import NODE, NOW_MS, PROXY, USER, fingerprint
from tests.unit.audit_log.event_mutations import SAMPLE, changed

MAX_BYTES = 100_000
VALIDATOR = Validator(b"secret", MAX_BYTES)
UNREADABLE = InvalidRequest([Violation("fields.a", "must be a number")])
FAST = b'{"event":"a","uid":"u-1","time":"2026-11-01T00:00:00Z","user":"bob","sid":"s"}'
SLOW = b'{"event":"b\\n","uid":"u-2","time":"2026-11-01T05:30:00+05:30","user":{"user":"b\xc3\xa9"},"sid":7} '
BARE = b'{"event":"c","server_id":"node-1"}'
FOREIGN = b'{"event":"d","uid":"u-4","time":"2026-11-01T00:00:00Z","server_id":"node-2"}'
WRONG = b'{"event":7,"uid":""}'
OWN = b'{"event":"extaudit.trace","uid":"u-6","time":"2026-11-01T00:00:00Z"}'
LARGE = FAST[:-1] + b',"x":"' + b"x" * MAX_BYTES + b'"}'
MIXED: list[bytes | InvalidRequest] = [FAST, WRONG, SLOW, UNREADABLE, BARE, FAST, b"", FOREIGN, BARE, OWN, LARGE, SLOW]
EMITTERS = [USER, NODE, PROXY, SERVICE, Identity(IdentityKind.COMPONENT, "", frozenset({"Node"}), "anchor")]


def by_the_rules(
    payloads: Sequence[bytes | InvalidRequest], emitter: Identity
) -> tuple[dict[int, Event], dict[int, InvalidRequest | PermissionDenied]]:
    """What is accepted, and what is refused and why, by index."""
    events: dict[int, Event] = {}
    errors: dict[int, InvalidRequest | PermissionDenied] = {}
    for index, payload in enumerate(payloads):
        try:
            if isinstance(payload, InvalidRequest):
                raise payload
            events[index] = parse_event(payload, emitter, now_ms=NOW_MS, max_bytes=MAX_BYTES)
        except (InvalidRequest, PermissionDenied) as error:
            errors[index] = error
    return events, errors


def said(error: InvalidRequest | PermissionDenied) -> tuple[type[Exception], object]:
    return type(error), error.violations if isinstance(error, InvalidRequest) else error.message


def check(payloads: Sequence[bytes | InvalidRequest], emitter: Identity = USER) -> Validated:
    found = VALIDATOR.validate(joined_payloads(payloads), emitter, NOW_MS)
    events, errors = by_the_rules(payloads, emitter)
    block, assigned = found.block, dict(found.assigned)
    assert [(index, *said(error)) for index, error in found.errors.items()] == [
        (index, *said(error)) for index, error in errors.items()
    ]
    assert [block.index(event) for event in range(len(block))] == list(events)
    assert list(assigned) == [index for index, event in events.items() if event.uid_assigned]
    for place, (index, event) in enumerate(events.items()):
        wanted = event._replace(uid_assigned=False)
        if index in assigned:
            assert assigned[index] != event.uid
            wanted = wanted._replace(
                uid=assigned[index], data=event.data.replace(event.uid.encode(), assigned[index].encode())
            )
        assert block.event(place) == wanted
        assert block.uid(place) == wanted.uid
        assert block.table[place, UID_KEY] == uid_key(wanted.uid.encode(), VALIDATOR.keys(emitter))
    assert not block.table[:, STATE].any()
    assert block.table.shape == (len(events), COLUMNS)
    assert block.bytes == sum(len(block.event(place).data) for place in range(len(block)))
    assert block.days == {event.time_ms // DAY_MS for event in events.values()}
    return found


@pytest.mark.parametrize("emitter", EMITTERS, ids=lambda emitter: emitter.name)
def test_a_mixed_message_is_taken_apart_as_by_the_rules(emitter: Identity) -> None:
    check(MIXED, emitter)
    check(MIXED[::-1], emitter)
    for payload in MIXED:
        check([payload], emitter)
        check([payload] * 3, emitter)


@pytest.mark.parametrize("seed", range(2))
def test_messages_of_changed_events_are_taken_apart_as_by_the_rules(seed: int) -> None:
    chance = random.Random(seed)
    for emitter in EMITTERS:
        for _ in range(12):
            lines: list[bytes | InvalidRequest] = [changed(chance.choice(SAMPLE), chance) for _ in range(20)]
            lines += chance.choices(MIXED + list(SAMPLE), k=10)
            chance.shuffle(lines)
            check(lines, emitter)


def test_a_message_without_events_has_none() -> None:
    assert len(check([]).block) == 0


def test_nothing_is_left_where_all_is_refused() -> None:
    found = check([WRONG, b"{", UNREADABLE])
    assert (len(found.block), found.block.bytes, found.block.days) == (0, 0, set())


def test_an_event_that_speaks_for_another_is_a_wrong_field_among_others_and_an_error_by_itself() -> None:
    found = check([FAST, FOREIGN, UNREADABLE, WRONG], NODE)
    assert [(index, [violation.field for violation in wrong]) for index, wrong in found.refused] == [
        (1, ["server_id"]),
        (2, ["fields.a"]),
        (3, ["event", "uid"]),
    ]
    assert isinstance(found.errors[1], PermissionDenied)
    assert found.denied == 1
    assert found.errors[2] is UNREADABLE


def test_the_services_own_events_may_be_twice_as_large() -> None:
    small = Validator(b"secret", len(FAST))
    for size, own, fine in ((0, False, True), (1, False, False), (len(FAST), True, True), (len(FAST) + 1, True, False)):
        for raw in (FAST[:-1] + b" " * size + b"}", SLOW[: len(FAST) - 1].ljust(len(FAST) - 1) + b" " * size + b"}"):
            found = small.validate(joined_payloads([raw]), SERVICE, NOW_MS, own=own)
            too_large = [
                violation for _, wrong in found.refused for violation in wrong if "at most" in violation.description
            ]
            assert bool(too_large) != fine


def test_a_missing_time_is_the_clock() -> None:
    block = check([BARE, FAST]).block
    assert block.event(0).time_ms == NOW_MS
    assert block.event(0).data.endswith(b',"time":"%b"}' % format_rfc3339(NOW_MS).encode())


# --- fingerprints


def fingerprints(validator: Validator, emitter: Identity, *raws: bytes) -> list[bytes]:
    block = validator.validate(joined_payloads(raws), emitter, NOW_MS).block
    assert len(block) == len(raws)
    return [fingerprint(block.table, index) for index in range(len(block))]


def test_a_fingerprint_is_of_emitter_and_bytes_as_received() -> None:
    slow = BARE + b" "
    raws = [FAST, FAST[:-1] + b" }", SLOW, SLOW + b" ", BARE, slow, FAST.replace(b"u-1", b"u-2")]
    others = [
        replace(USER, name="bob"),
        replace(USER, trust_anchor="other"),
        replace(USER, trust_anchor=""),
        replace(NODE, name="alice"),
        replace(USER, name="alice ", trust_anchor="anchor"),
    ]
    found = [fingerprints(VALIDATOR, emitter, *raws[:4], *raws[6:]) for emitter in (USER, *others)]
    every = [each for of_emitter in found for each in of_emitter]
    assert len(set(every)) == len(every) == 6 * 5
    assert {len(each) for each in every} == {16}


def test_the_same_bytes_of_the_same_emitter_have_the_same_fingerprint_whatever_stands_around_them() -> None:
    renewed = replace(USER, certificate_serial="ff", roles=frozenset({"other"}))
    for raw in (FAST, SLOW, BARE):
        (alone,) = fingerprints(VALIDATOR, USER, raw)
        assert fingerprints(VALIDATOR, renewed, FAST, raw, SLOW, raw)[1::2] == [alone, alone]
        assert fingerprints(Validator(b"secret", 1 << 20), USER, raw) == [alone]
        assert fingerprints(Validator(b"other", 1 << 20), USER, raw) != [alone]


def test_the_fingerprint_is_not_of_what_is_inserted() -> None:
    first = VALIDATOR.validate(joined_payloads([BARE]), USER, NOW_MS).block
    second = VALIDATOR.validate(joined_payloads([BARE]), USER, NOW_MS + 1).block
    assert first.event(0) != second.event(0)
    assert fingerprint(first.table, 0) == fingerprint(second.table, 0)
    assert fingerprints(VALIDATOR, USER, first.event(0).data) != [fingerprint(first.table, 0)]


def test_no_byte_can_be_taken_from_the_emitter_for_the_event() -> None:
    """Else a name that ends in a space could pass for another emitter's retry."""
    assert fingerprints(VALIDATOR, USER, b" " + FAST) != fingerprints(VALIDATOR, replace(USER, name="alice "), FAST)


def test_a_uid_has_the_same_key_whoever_uses_it() -> None:
    keys = {
        VALIDATOR.validate(joined_payloads([FAST]), emitter, NOW_MS).block.table[0, UID_KEY] for emitter in EMITTERS
    }
    assert len(keys) == 1


# --- blocks


def test_stored_events_are_read_back_as_they_were_accepted() -> None:
    lines = [*SAMPLE, FAST, SLOW, BARE, b'{"event":"a","uid":"u","time":"2026-11-18T23:00:00Z"}']
    block = VALIDATOR.validate(joined_payloads(lines), USER, NOW_MS + 30 * DAY_MS).block
    trace = VALIDATOR.validate(joined_payloads([OWN]), SERVICE, NOW_MS, own=True).block
    events = [*map(block.event, range(len(block))), trace.event(0)]
    stored = VALIDATOR.stored([event.data for event in events])
    assert list(map(stored.event, range(len(stored)))) == events
    keys = [*block.table[:, UID_KEY].tolist(), *trace.table[:, UID_KEY].tolist()]
    assert stored.table[:, UID_KEY].tolist() == keys


def test_joined_blocks_have_the_events_of_all_in_order() -> None:
    blocks = [check(lines).block for lines in ([FAST, SLOW], [WRONG], [BARE], [SLOW, WRONG, FAST, BARE])]
    before = [block.table.tolist() for block in blocks]
    joined = join_blocks(blocks)
    wanted = [block.event(index) for block in blocks for index in range(len(block))]
    assert list(map(joined.event, range(len(joined)))) == wanted
    assert [block.table.tolist() for block in blocks] == before, "nothing of a block changes"
    assert joined.table[:, FINGERPRINT].tolist() == [row[FINGERPRINT] for table in before for row in table]


@pytest.mark.parametrize("kept", [[FAST], [SLOW], [BARE], [FAST, SLOW, BARE, FAST], []])
def test_events_do_not_keep_alive_the_message_whose_others_are_refused(kept: list[bytes]) -> None:
    found = check([*kept[:1], b"{" * 1_000_000, *kept[1:], LARGE])
    assert len(found.block.data) < 2000


def test_a_compacted_block_has_the_same_events_and_is_the_same_where_nothing_is_gained() -> None:
    block = check([FAST, LARGE[: MAX_BYTES // 2] + b'"}', SLOW, BARE, SLOW]).block
    assert block.compacted() is block
    fewer = block.only(np.array([True, False, True, True, False]))
    compacted = fewer.compacted()
    assert len(compacted.data) < 2000 < len(fewer.data)
    assert [compacted.event(n) for n in range(3)] == [fewer.event(n) for n in range(3)]
    assert compacted.table[:, [UID_KEY, FINGERPRINT]].tolist() == fewer.table[:, [UID_KEY, FINGERPRINT]].tolist()
    assert compacted.bytes == fewer.bytes


def test_a_block_can_be_had_without_some_of_its_events() -> None:
    block = check([FAST, WRONG, SLOW, BARE]).block
    fewer = block.only(np.array([True, False, True]))
    assert [fewer.event(0), fewer.event(1)] == [block.event(0), block.event(2)]
    assert [fewer.index(0), fewer.index(1)] == [0, 3]
    assert (len(block), fewer.bytes) == (3, len(fewer.event(0).data) + len(fewer.event(1).data))


def test_no_more_emitters_are_remembered_than_there_is_room_for() -> None:
    validator = Validator(b"secret", 1000)
    for _ in range(MAX_REMEMBERED + 1):
        validator.keys(replace(USER))
    assert len(validator._known) == 1


@pytest.mark.parametrize("raw", [FAST, SLOW, WRONG, OWN, LARGE, b""])
def test_one_payload_alone_is_as_one_joined(raw: bytes) -> None:
    alone, joined = single_payload(raw), joined_payloads([raw])
    assert (alone.data.tolist(), alone.spans.tolist(), alone.largest, alone.refused) == (
        joined.data.tolist(),
        joined.spans.tolist(),
        joined.largest,
        {},
    )
