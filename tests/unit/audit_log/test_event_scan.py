"""The compiled scan is never wrong: what it settles, the exact rules accept with the same columns."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from rbac.identities import SERVICE, Identity, IdentityKind
from server.audit_log.columns.event_scan import scan_events
from server.audit_log.columns.hashing import hash_keys
from server.audit_log.columns.layout import INDEX, STATE, TIME_MS, Bytes, Table
from server.audit_log.event import MAX_TIME_MS, parse_event
from server.audit_log.event_block import EventBlock
from server.audit_log.timestamps import DAY_MS, format_rfc3339
from server.audit_log.validation import joined_payloads
from tests.unit.audit_log.emitters import MAX_BYTES, NODE, NOW_MS, PROXY, USER
from tests.unit.audit_log.event_mutations import SAMPLE, TEXTS, TIMES, changed

KEYS = hash_keys(b"secret", b"emitter")
LATER_MS = NOW_MS + 30 * DAY_MS
NAMED_IN_UTF8 = Identity(IdentityKind.COMPONENT, "nöde", frozenset({"Proxy"}), "anchor", "04")
EMITTERS = [USER, NODE, PROXY, NAMED_IN_UTF8, SERVICE]
ROUNDS = 3000


def scanned(data: Bytes, spans: Table, emitter: Identity, now_ms: int, max_bytes: int = MAX_BYTES) -> Table:
    own = emitter.name.encode() if emitter.kind is IdentityKind.COMPONENT else b""
    table, slow = scan_events(
        data,
        spans,
        KEYS,
        largest=len(data),
        newest_ms=now_ms + DAY_MS,
        max_bytes=max_bytes,
        own=np.frombuffer(own, np.uint8),
        reserved=emitter is SERVICE,
    )
    assert slow == np.count_nonzero(table[:, STATE])
    assert table[:, INDEX].tolist() == list(range(len(spans)))
    return table


def settled(
    raws: Sequence[bytes], emitter: Identity = USER, now_ms: int = LATER_MS, max_bytes: int = MAX_BYTES
) -> list[bool]:
    """Which of these the scan settles; that it is right in that is checked for each."""
    payloads = joined_payloads(raws)
    table = scanned(payloads.data, payloads.spans, emitter, now_ms, max_bytes)
    block = EventBlock(payloads.data, table)
    found = [not state for state in table[:, STATE].tolist()]
    for index, raw in enumerate(raws):
        if found[index]:
            try:
                wanted = parse_event(raw, emitter, now_ms=now_ms, max_bytes=max_bytes)
            except Exception as error:
                raise AssertionError(f"settled, and refused by the rules: {emitter.name} {raw!r}") from error
            assert block.event(index) == wanted, raw
    return found


def is_usual(raw: bytes) -> bool:
    """Whether the event has all that the scan wants: nothing to insert, no object or number in a column."""
    event = json.loads(raw)
    texts = [event.get("user", ""), event.get("sid", "")]
    return "uid" in event and "time" in event and all(isinstance(text, str) for text in texts)


def test_the_usual_events_are_settled() -> None:
    """Six in seven of the sample: all but those that lack a uid or have more than a text in a column."""
    usual = [is_usual(line) for line in SAMPLE]
    assert settled(SAMPLE) == usual
    assert usual.count(True) / len(usual) > 0.85


def test_an_event_that_its_own_server_emits_is_settled() -> None:
    line = b'{"event":"t","uid":"u","time":"2026-11-01T00:00:00Z","server_id":"%b"}'
    for emitter in (NODE, PROXY, NAMED_IN_UTF8):
        assert settled([line % emitter.name.encode()], emitter) == [True]
        assert settled([line % b"other"], emitter) == [False]
    assert settled([line % b"other"], USER) == [True]


HEAD = b'{"event":"t","uid":"u","time":"2026-11-01T00:00:00Z"'
SETTLED = [
    HEAD + b"}",
    b' \t\r\n{ "event"\n:\t"t" , "uid" : "u","time":"2026-11-01T00:00:00Z"}'.lstrip(),
    HEAD + ',"user":"é😀","sid":"é","x":"\\ud7ff\\ue000\\n\\\\ \\"}"}'.encode(),
    HEAD + b',"n":[0,-0,1.50,-1.0,' + b"9" * 100 + b'],"t":true,"f":false,"z":null}',
    HEAD + b',"a":{"event":1,"Event":2,"UID":3,"uid":[]},"b":[{"a":1},{"a":1}],"c":{},"d":[]}',
    HEAD + b',"a":' + b"[" * 63 + b"]" * 63 + b"}",
    HEAD + b',"a":{' + b",".join(b'"k%d":0' % n for n in range(64)) + b"}}",
    HEAD + b',"a":{"":1,"a":1,"aa":1,"1234567":1,"12345678":1,"12345679":1,"' + b"k" * 263 + b'":1,"kkkkkkk":1}}',
    HEAD.replace(b'"t"', b'"extaudit"') + b',"user":"","sid":""}',
    HEAD.replace(b'"t"', b'"Extaudit.x"') + b"}",
    HEAD.replace(b'"u"', b'"' + b"~" * 128 + b'"') + b',"sid":"' + b"s" * 256 + b'"}',
    HEAD.replace(b"00Z", b"00.123456789Z") + b"}",
    HEAD + b',"server_id":null,"forwarded_by":["x"]}',
]


@pytest.mark.parametrize("raw", SETTLED)
def test_what_is_unusual_and_right_in_these_ways_is_settled(raw: bytes) -> None:
    assert settled([raw]) == [True]


NOT_SETTLED = [
    b"",
    b"{}",
    b"[]",
    b"{",
    b" " + HEAD + b"}",
    HEAD + b"} ",
    HEAD + b"}}",
    HEAD + b",}",
    HEAD + b',"a":[1,]}',
    HEAD + b',"a":[,1]}',
    HEAD + b',"a":[1 2]}',
    HEAD + b',"a":{"b":1]}',
    HEAD + b',"a":[1}}',
    HEAD + b',"a"}',
    HEAD + b',"a":}',
    HEAD + b',"a"::1}',
    HEAD + b',a:1}',
    HEAD + b',"a":1,"a":2}',
    HEAD + b',"12345678":1,"12345678":2}',
    HEAD + b',"":1,"":2}',
    HEAD + b',"a":{"b":[{"c":1,"d":{},"c":2}]}}',
    HEAD + b',"a":1,"\\u0061":2}',
    HEAD + b',"a":[{"k":[{"a":1}],"k":2}]}',
    HEAD + b',"uid":"u"}',
    HEAD + b',"UID":"v"}',
    HEAD + ',"\u017fid":"v"}'.encode(),
    HEAD + ',"u\u017fer":"v"}'.encode(),
    HEAD + b',"u\\u017fer":"v"}',
    HEAD + b',"user":{"user":"bob"}}',
    HEAD + b',"user":"a\\u0000"}',
    HEAD + b',"sid":"' + b"s" * 257 + b'"}',
    HEAD + b',"a":"\\ud800"}',
    HEAD + b',"a":"\xed\xa0\x80"}',
    HEAD + b',"a":"\xc0\x80"}',
    HEAD + b',"a":"\xf4\x90\x80\x80"}',
    HEAD + b',"a":"\0"}',
    HEAD + b',"a":"\x1f"}',
    HEAD + b',"a\xff":1}',
    HEAD + b',"a":1e999}',
    HEAD + b',"a":' + b"9" * 401 + b"}",
    HEAD + b',"a":01}',
    HEAD + b',"a":-}',
    HEAD + b',"a":1.}',
    HEAD + b',"a":NaN}',
    HEAD + b',"a":tru}',
    HEAD + b',"a":' + b"[" * 64 + b"]" * 64 + b"}",
    HEAD + b',"a":{' + b",".join(b'"k%d":0' % n for n in range(65)) + b"}}",
    HEAD.replace(b'"t"', b'"extaudit.x"') + b"}",
    HEAD.replace(b'"t"', b'""') + b"}",
    HEAD.replace(b'"u"', b'"u u"') + b"}",
    HEAD.replace(b'"u"', b'""') + b"}",
    HEAD.replace(b"00Z", b"60Z") + b"}",
    b"\xef\xbb\xbf" + HEAD + b"}",
]  # fmt: skip


@pytest.mark.parametrize("raw", NOT_SETTLED)
def test_what_is_wrong_or_rare_in_these_ways_is_left_to_the_rules(raw: bytes) -> None:
    assert settled([raw]) == [False]


def test_the_service_s_own_events_are_settled_and_nobody_else_s_of_their_types() -> None:
    raw = HEAD.replace(b'"t"', b'"extaudit.x"') + b"}"
    assert [settled([raw], emitter) for emitter in EMITTERS] == [[emitter is SERVICE] for emitter in EMITTERS]


@pytest.mark.parametrize("column", ["event", "uid", "sid", "user", "server_id", "forwarded_by"])
@pytest.mark.parametrize("emitter", EMITTERS, ids=lambda emitter: emitter.name)
def test_any_text_in_a_column_is_taken_as_the_rules_take_it(column: str, emitter: Identity) -> None:
    raws = []
    for text in TEXTS:
        members = {"event": '"t"', "uid": '"u"', "time": '"2026-11-01T00:00:00Z"'} | {column: f'"{text}"'}
        for order in (list(members), list(members)[::-1]):
            line = "{" + ",".join(f'"{key}":{members[key]}' for key in order) + "}"
            raws.append(line.encode("utf-8", "surrogatepass"))
    found = settled(raws, emitter)
    assert any(found) or (emitter.kind is IdentityKind.COMPONENT and column == "forwarded_by")
    assert not all(found) or column == "server_id"


def test_part_of_an_event_is_never_taken_for_an_event_whatever_follows_it() -> None:
    for line in (SAMPLE[0], SAMPLE[2], SETTLED[2]):
        data = np.frombuffer(line * 2, np.uint8)
        spans = np.array([[start, end] for start in (0, 1) for end in range(start, len(line) + 20)], np.int64)
        states = scanned(data, spans, USER, LATER_MS)[:, STATE]
        assert spans[states == 0].tolist() == [[0, len(line)]]


@pytest.mark.parametrize(
    ("character", "fine"), [(b"\x1f", False), (b"\xff", False), (b'"', False), (b"\\n", True), ("é".encode(), True)]
)
def test_a_character_that_ends_the_plain_ones_is_found_wherever_it_is(character: bytes, *, fine: bool) -> None:
    """The plain ones are passed over many at a time, and near the end of the buffer one by one."""
    texts = [b"x" * before + character + b"x" * (140 - before) for before in range(141)]
    raws = [HEAD + b',"a":"' + text + b'"}' for text in texts]
    assert settled(raws) == [fine] * len(raws)
    assert [settled([raw]) for raw in raws] == [[fine]] * len(raws)


def test_an_event_may_be_as_large_as_the_limit_and_no_larger() -> None:
    raw = SETTLED[0]
    assert settled([raw], max_bytes=len(raw)) == [True]
    assert settled([raw], max_bytes=len(raw) - 1) == [False]


# --- times


def timed(text: str) -> bytes:
    return b'{"event":"t","uid":"u","time":"%b"}' % text.encode()


@pytest.mark.parametrize("text", TIMES)
def test_times_of_all_shapes_are_the_instant_of_the_rules_or_left_to_them(text: str) -> None:
    settled([timed(text)], now_ms=MAX_TIME_MS - DAY_MS)


def test_every_day_of_the_calendar_is_its_own() -> None:
    day, last = datetime(1970, 1, 1, tzinfo=UTC), datetime(2405, 1, 1, tzinfo=UTC)
    days = [day + timedelta(days=number) for number in range((last - day).days)]
    payloads = joined_payloads([timed(f"{day:%Y-%m-%d}T23:59:59.999Z") for day in days])
    table = scanned(payloads.data, payloads.spans, USER, MAX_TIME_MS)
    assert not table[:, STATE].any()
    assert table[:, TIME_MS].tolist() == [(number + 1) * DAY_MS - 1 for number in range(len(days))]


def test_no_day_is_added_to_the_calendar() -> None:
    days = [
        f"{year:04d}-{month:02d}-{day:02d}"
        for year in (1970, 2000, 2023, 2024, 2100)
        for month in range(14)
        for day in range(34)
    ]
    found = settled([timed(f"{day}T00:00:00Z") for day in days], now_ms=MAX_TIME_MS - DAY_MS)
    assert found.count(True) == 365 * 3 + 366 * 2


def test_random_times_are_the_instant_of_the_rules() -> None:
    chance = random.Random(3)
    raws = []
    for _ in range(3000):
        text = format_rfc3339(chance.randrange(MAX_TIME_MS))[:19]
        digits = "".join(chance.choices("0123456789", k=chance.randrange(11)))
        text += (f".{digits}" if digits else "") + chance.choice(["Z", "Z", "Z", "z", "+00:00", "-07:30"])
        if chance.randrange(4) == 0:
            at = chance.randrange(len(text))
            text = text[:at] + chance.choice("0129:-T Z.") + text[at + 1 :]
        raws.append(timed(text))
    assert settled(raws, now_ms=MAX_TIME_MS - DAY_MS).count(True) > 1000


@pytest.mark.parametrize(("ahead_ms", "fine"), [(0, True), (DAY_MS, True), (DAY_MS + 1, False), (DAY_MS + 1000, False)])
def test_a_time_is_at_most_24_hours_ahead(ahead_ms: int, *, fine: bool) -> None:
    assert settled([timed(format_rfc3339(NOW_MS + ahead_ms))], now_ms=NOW_MS) == [fine]


# --- chance


@pytest.mark.parametrize("seed", range(3))
def test_no_change_of_a_real_event_is_taken_otherwise_than_by_the_rules(seed: int) -> None:
    chance = random.Random(seed)
    lines = [line for line in SAMPLE if is_usual(line)]
    found = []
    for emitter in EMITTERS:
        raws = [changed(chance.choice(lines), chance) for _ in range(ROUNDS // len(EMITTERS))]
        found += settled(raws, emitter, chance.choice([NOW_MS, LATER_MS]))
    assert 0.1 < found.count(True) / len(found) < 0.9
