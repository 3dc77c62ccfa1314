"""The events of some types in a block are found as one comparing texts would find them."""

from __future__ import annotations

import random

import pytest

from rbac.identities import SERVICE
from server.audit_log.columns.selecting import TypeSelection
from server.audit_log.validation import Validator, joined_payloads

WANTED = ["session.end", "session.start", "a", "é"]
TYPES = [*WANTED, "session.enD", "session.en", "session.end.", "user.create", "b", "e", "session.startx"]
VALIDATOR = Validator(b"secret", 10_000)


@pytest.mark.parametrize("seed", range(20))
def test_the_events_of_the_wanted_types_are_found_and_no_others(seed: int) -> None:
    randomness = random.Random(seed)
    types = [randomness.choice(TYPES) for _ in range(randomness.randrange(1, 40))]
    events = [f'{{"event":"{type_}"}}'.encode() for type_ in types]
    block = VALIDATOR.validate(joined_payloads(events), SERVICE, 2**40).block
    expected = [row for row, type_ in enumerate(types) if type_ in WANTED]
    assert TypeSelection(WANTED).rows(block.data, block.table).tolist() == expected


def test_an_empty_block_has_none() -> None:
    block = VALIDATOR.validate(joined_payloads([b"{}"]), SERVICE, 2**40).block
    assert TypeSelection(WANTED).rows(block.data, block.table).tolist() == []
