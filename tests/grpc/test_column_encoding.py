"""Columns are written as protobuf writes them."""

from __future__ import annotations

import random

import numpy as np
import pytest
from extaudit.v1.event_export_pb2 import EventColumns

from server.audit_log.batch_decoding import texts_in
from server.grpc_api.column_encoding import encoded_columns

EDGES = [0, 1, 127, 128, 16_383, 16_384, 2**31 - 1, 2**32, 2**56, 2**63 - 1, -1, -(2**63)]
TEXTS = ["", "a", "ü" * 63, "x" * 127, "x" * 128, "ü" * 10_000, "\0", "\U0001f600"]


@pytest.mark.parametrize("seed", range(20))
def test_numbers_and_texts_are_written_as_protobuf_writes_them(seed: int) -> None:
    rng = random.Random(seed)
    times = [rng.choice([*EDGES, rng.randrange(-(2**63), 2**63)]) for _ in range(rng.randrange(50))]
    received = rng.sample(EDGES, seed % len(EDGES))
    types, users = (rng.choices(TEXTS, k=rng.randrange(20)) for _ in "12")
    encoded = encoded_columns(
        [(4, np.array(times, np.int64)), (13, np.array(received, np.int64))],
        [(5, texts_in(types)), (8, texts_in(users))],
    )
    assert EventColumns.FromString(bytes(encoded)) == EventColumns(
        times_ms=times, received_times_ms=received, types=types, users=users
    )


def test_a_field_with_a_longer_tag_is_refused() -> None:
    with pytest.raises(ValueError, match="tag"):
        encoded_columns([(16, np.zeros(1, np.int64))], [])
