"""What was pinned of a section is found by time, and nothing that came after."""

from __future__ import annotations

import random

from rbac.identities import SERVICE
from server.audit_log.tail import Tail, TailBlock
from server.audit_log.timestamps import format_rfc3339
from server.audit_log.validation import Validator, joined_payloads

START = 1_795_003_200_000
VALIDATOR = Validator(b"secret", 2**20)


def _block(first: int, times: list[int]) -> TailBlock:
    payloads = [b'{"event":"a","uid":"u","time":"%s"}' % format_rfc3339(START + time).encode() for time in times]
    return TailBlock(first, START, b"[]", VALIDATOR.validate(joined_payloads(payloads), SERVICE, START + 10_000).block)


def test_rows_of_a_pin_are_those_of_its_blocks_that_have_the_times() -> None:
    chance, tail, times = random.Random(1), Tail(), list[int]()
    section = tail.begin("log", 1, "default")
    pins = []
    for _ in range(70):
        for count in chance.choices((1, 1, 1, 3), k=3):
            # Nearly in order, as events come, with some that are late.
            found = [len(times) + chance.choice((0, 5, -20)) for _ in range(count)]
            section.extend([_block(len(times) + 1, found)])
            times += found
        pins.append((tail.pin()[0], len(times)))
    for pin, length in pins:
        for low, high in ((0, 1), (length - 2, length + 100), (50, 90), (-100, 1000), (500, 400)):
            expected = [sequence for sequence, time in enumerate(times[:length], 1) if low <= time < high]
            assert [row.sequence for row in pin.rows(START + low, START + high)] == expected
