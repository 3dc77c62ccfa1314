"""What a storage's own Parquet objects say of the events in it, as whoever reads them sees it."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow.parquet as pq
from extaudit_client import StorageSpec

from server.audit_log.batch_codec import sequences_in
from tests.crash.switching_load import TYPE, Place
from tests.external_world import World

Stored = tuple[str, str, int]
"""Uid, log and sequence."""


def in_bucket(world: World, spec: StorageSpec) -> Counter[Stored]:
    """How often each event of the load is in the bucket."""
    bucket, _, prefix = spec.audit_events_long_term_uri.removeprefix("s3://").partition("/")
    objects = world.objects(bucket, f"{prefix}/")
    return _counted(data for key, data in objects.items() if key.endswith(".parquet"))


def in_folder(data_dir: Path) -> Counter[Stored]:
    """How often each is in the embedded storage."""
    return _counted(path.read_bytes() for path in (data_dir / "storage" / "events").rglob("*.parquet"))


def check_stored(found: Counter[Stored], told: Mapping[str, Place], is_here: Iterable[str]) -> None:
    """What acknowledgements named these storages for is there once, under log and sequence as told; and nothing else.

    Events may be there whose acknowledgement was lost, or that aren't of this load.
    """
    named = {(uid, log_id, sequence) for uid, (storage, log_id, sequence) in told.items() if storage in is_here}
    assert len(named) > 50, "there was hardly any load"
    assert named <= found.keys(), "an event is lost"
    assert set(found.values()) == {1}, "an event is there twice"
    strangers = {uid for uid, _, _ in found.keys() - named}
    assert not strangers & told.keys(), "an event is here and elsewhere, or under two sequences"


def _counted(objects: Iterable[bytes]) -> Counter[Stored]:
    return Counter(stored for data in objects for stored in _events(data))


def _events(data: bytes) -> Iterator[Stored]:
    with pq.ParquetFile(io.BytesIO(data)) as file:
        metadata = file.metadata.metadata or {}
        if b"log_id" not in metadata:
            return  # somebody else's
        log_id, sequences = metadata[b"log_id"].decode(), sequences_in(file.metadata).tolist()
        table = file.read(columns=["event_type", "uid"])
    rows = zip(table["event_type"].to_pylist(), table["uid"].to_pylist(), sequences, strict=True)
    for type_, uid, sequence in rows:
        if type_ == TYPE:
            yield uid, log_id, sequence
