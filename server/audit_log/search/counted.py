"""Which objects of the catalogue an answer counts and reads."""

from __future__ import annotations

from server.audit_log.search.query import Watermark
from server.state.catalogue_rows import CatalogueObject
from server.storage.query import Filters


def counts(item: CatalogueObject, watermark: Watermark) -> bool:
    """Whether the watermark counts anything of an object."""
    if item.is_foreign:
        return item.revision <= watermark.catalogue_revision
    return item.first <= watermark.logs.get(item.log_id, 0)


def may_hold(item: CatalogueObject, filters: Filters) -> bool:
    """Whether an object is read for these filters.

    To a caller who may not see every event, what was read must not tell which types there are.
    """
    wanted = filters.types
    return filters.condition is not None or not wanted or item.types is None or not wanted.isdisjoint(item.types)
