"""What the bucket itself says of the events in it, as whoever reads its Parquet objects sees them."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator

import pyarrow.parquet as pq
from extaudit_client import StorageSpec

from server.audit_log.batch_codec import sequences_in
from tests.crash.switching_load import Place
from tests.external_world import World

Stored = tuple[str, str, int]
"""Uid, log and sequence."""


def stored(world: World, spec: StorageSpec, event_type: str) -> Counter[Stored]:
    """How often each event of a type is in the bucket."""
    bucket, _, prefix = spec.audit_events_long_term_uri.removeprefix("s3://").partition("/")
    found = Counter[Stored]()
    for key, data in world.objects(bucket, f"{prefix}/").items():
        if key.endswith(".parquet"):
            found.update(_events(data, event_type))
    return found


def check_stored(found: Counter[Stored], told: dict[str, Place]) -> None:
    """What acknowledgements named the bucket for is in it once, under log and sequence as told, and nothing else is.

    Events may be in it whose acknowledgement was lost.
    """
    named = {(uid, log_id, sequence) for uid, (storage, log_id, sequence) in told.items() if storage != "default"}
    assert len(named) > 50, "there was hardly any load"
    assert named <= found.keys(), "an event is lost"
    assert set(found.values()) == {1}, "an event is there twice"
    strangers = {uid for uid, _, _ in found.keys() - named}
    assert not strangers & told.keys(), "an event is in the bucket and elsewhere, or under two sequences"


def _events(data: bytes, event_type: str) -> Iterator[Stored]:
    with pq.ParquetFile(io.BytesIO(data)) as file:
        if b"log_id" not in (file.metadata.metadata or {}):
            return  # somebody else's
        log_id, sequences = file.metadata.metadata[b"log_id"].decode(), sequences_in(file.metadata).tolist()
        table = file.read(columns=["event_type", "uid"])
    rows = zip(table["event_type"].to_pylist(), table["uid"].to_pylist(), sequences, strict=True)
    for type_, uid, sequence in rows:
        if type_ == event_type:
            yield uid, log_id, sequence
