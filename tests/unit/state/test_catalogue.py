"""The catalogue's index: how long others wait for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueBatch, CatalogueObject
from server.state.database import open_database

LOG = "0" * 20
OBJECT = CatalogueObject("default", "2026-11-18/a.parquet", 1, 1, 5, 9, None, "sha", LOG, 1, 1)


@dataclass
class LookedAt:
    """An object or batch that notes whether the catalogue is locked when it is looked at."""

    catalogue: Catalogue
    first_ms: int = 5
    while_locked: bool | None = None

    @property
    def last_ms(self) -> int:
        self.while_locked = self.catalogue._lock.locked()
        return 9


def test_all_objects_are_looked_through_without_the_lock_that_the_event_loop_needs(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "state.db")
    catalogue = Catalogue(engine)
    catalogue.add_batch(CatalogueBatch("default", LOG, 1, 1, "digest", 0), [OBJECT])
    looked_at: Any = LookedAt(catalogue)
    catalogue._dates["default"][OBJECT.date].objects.append(looked_at)
    found = catalogue.objects("default", 9, 10)
    assert looked_at.while_locked is False
    assert found == [catalogue.object("default", OBJECT.name), looked_at]
    assert catalogue.objects("default", 10) == []
    assert catalogue.objects("default", None, 5) == []
    engine.dispose()
