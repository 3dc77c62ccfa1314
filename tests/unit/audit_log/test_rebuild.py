"""Rebuilding the catalogue from the batch records in a storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from server.audit_log.batch_record import BatchObject, BatchRecord
from server.audit_log.rebuilding import rebuild
from server.files import DiskFiles
from server.state.catalogue import Catalogue
from server.state.database import open_database
from server.storage.embedded.storage import EmbeddedStorage

LOG = "0123456789abcdef0123"


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        (f"2026-11-23/{LOG}-1-2.parquet", 1),
        (f"2026-11-23/{LOG}-1-2.r1.parquet", 1),
        ("../../../secret", 0),
        (f"2026-11-23/../{LOG}-1-2.parquet", 0),
        (f"2026-11-23/{LOG}-1-3.parquet", 0),
        (f"2026-11-23/{LOG}-1-2.parquet\n", 0),
    ],
)
def test_a_record_is_taken_only_if_its_objects_are_named_as_its_own(name: str, taken: int, tmp_path: Path) -> None:
    storage = EmbeddedStorage(DiskFiles(), tmp_path / "storage")
    item = BatchObject(name, 2, 100, "0" * 64, 1, 2, ("x",))
    record = BatchRecord(LOG, 1, 2, "default", "", (item,), (), {"emitters": [], "runs": []})
    storage.put_record(f"{LOG}/1-2.json", record.encode())
    for name_of_junk in (".DS_Store", f"{LOG}/junk.json"):
        (tmp_path / "storage" / "_batches" / name_of_junk).write_bytes(b"{}")
    (tmp_path / "storage" / "_batches" / LOG / "3-4.json").mkdir()
    engine = open_database(tmp_path / "state.db")
    catalogue = Catalogue(engine)
    assert rebuild(storage, catalogue) == taken
    assert len(catalogue.objects("default")) == taken
    engine.dispose()


def test_a_record_that_has_sequences_of_another_one_is_not_believed_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = EmbeddedStorage(DiskFiles(), tmp_path / "storage")
    for first, last in ((1, 2), (1, 3), (2, 4), (5, 5)):
        record = BatchRecord(LOG, first, last, "default", "", (), (), {"emitters": [], "runs": []})
        storage.put_record(f"{LOG}/{first}-{last}.json", record.encode())
    engine = open_database(tmp_path / "state.db")
    catalogue = Catalogue(engine)
    assert rebuild(storage, catalogue) == 2
    assert [(each.first, each.last) for each in catalogue.batches()] == [(1, 2), (5, 5)]
    told = [each.message for each in caplog.records if each.name == "server.audit_log.rebuilding"]
    assert told == ["a batch record isn't believed"] * 2
    engine.dispose()


WHOLE = BatchRecord(
    LOG, 1, 2, "default", "", (BatchObject(f"2026-11-23/{LOG}-1-2.parquet", 2, 9, "0" * 64, 1, 2, ("x",)),), (), {}
)


@pytest.mark.parametrize(
    "changes",
    [
        {"first": "1"},
        {"first": 2**63},
        {"first": True},
        {"holes": 5},
        {"holes": [[1]]},
        {"receipts": 5},
        {"previous": 5},
        {"objects": {"x": 1}},
        {"objects": [{"name": None}]},
        *(
            {"objects": [{field: value}]}
            for field, value in [("rows", 2**63), ("first_ms", "x"), ("types", [1]), ("types", 1)]
        ),
    ],
    ids=str,
)
def test_a_record_of_wrong_shape_is_no_record_and_stops_nothing(changes: dict[str, Any]) -> None:
    members = orjson.loads(WHOLE.encode())
    objects = changes.get("objects")
    if isinstance(objects, list):
        changes = {"objects": [members["objects"][0] | objects[0]]}
    assert BatchRecord.decode(orjson.dumps(members)) == WHOLE
    with pytest.raises(ValueError, match="not a batch record"):
        BatchRecord.decode(orjson.dumps(members | changes))
