"""The chain of batch records: which record the one of a batch names as the one before it."""

from __future__ import annotations

from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueBatch


def batch_chained_before(
    catalogue: Catalogue, log_id: str, first: int, storage: str, diverted_from: str
) -> CatalogueBatch | None:
    """The last confirmed batch before this sequence of its log, in its storage, and diverted from the same one.

    What is diverted comes where others have their places in the chain already, so it has one of its own.
    """
    batch = catalogue.batch_before(log_id, first)
    while batch is not None and (batch.storage, _diverted_from(catalogue, batch)) != (storage, diverted_from):
        batch = catalogue.batch_before(log_id, batch.first)
    return batch


def _diverted_from(catalogue: Catalogue, batch: CatalogueBatch) -> str:
    diversion = catalogue.diversions.of(batch.log_id, batch.first)
    return diversion.storage if diversion is not None and diversion.to == batch.storage else ""
