"""What the catalogue knows: batches and objects. Apart from it, as the page process knows objects and no database."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CatalogueObject:
    """One known Parquet object."""

    storage: str
    name: str
    rows: int
    bytes: int
    first_ms: int
    last_ms: int
    types: frozenset[str] | None
    """None where unknown."""
    sha256: str = ""
    log_id: str = ""
    """'' for a foreign object."""
    first: int = 0
    last: int = 0
    is_foreign: bool = False
    foreign_note: str | None = None
    """What of a foreign object can't be read, in our own words."""
    revision: int = 0
    version: str = ""
    """Of a foreign object, which version was seen; '' where its storage keeps none."""

    @property
    def date(self) -> str:
        """`YYYY-MM-DD`."""
        return self.name[:10]

    @property
    def key(self) -> str:
        """Its name among the objects of all storages; those of the default one begin with a date, and no id does."""
        return self.name if self.storage == "default" else f"{self.storage}/{self.name}"


@dataclass(frozen=True, slots=True)
class CatalogueBatch:
    """One confirmed batch; `record_number` is above 0 where others had taken the names before its record's."""

    storage: str
    log_id: str
    first: int
    last: int
    record_digest: str
    confirmed_ms: int
    record_number: int = 0
