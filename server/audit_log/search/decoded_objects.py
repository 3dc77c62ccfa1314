"""Decoded objects: the columns of stored objects that pages were made of, kept for the pages that follow."""

from __future__ import annotations

from hashlib import sha256

from server.audit_log.batch_codec import BatchColumns, UnreadableFooter
from server.audit_log.batch_decoding import are_whole, bytes_of, decode
from server.audit_log.weighted_cache import WeightedCache
from server.state.catalogue_rows import CatalogueObject

_KEPT_BYTES = 64 << 20
MOST_BYTES = 48 << 20
"""Decoded, of the objects of one page: two of the largest batches fit."""


class OddObject(Exception):
    """An object isn't as the service writes them, or can't be read now."""


class DecodedObjects:
    """Decodes objects of ours. What is kept of one is found by its digest, so it can't be stale; whether the object is
    still there with these bytes is for the caller to ask. Safe to use from several threads."""

    def __init__(self, most: int = _KEPT_BYTES) -> None:
        self._kept: WeightedCache[tuple[str, str], BatchColumns] = WeightedCache(most)

    def columns(self, item: CatalogueObject, path: str) -> BatchColumns:
        """The rows of an object, in order of time.

        Raises:
            OddObject: it can't be read, or something of it isn't as the service writes it.
        """

        def read() -> tuple[BatchColumns, int]:
            columns = _decoded(item, path)
            return columns, bytes_of(columns)

        return self._kept.get((item.key, item.sha256), read)


def _decoded(item: CatalogueObject, path: str) -> BatchColumns:
    try:
        with open(path, "rb", buffering=0) as file:  # a buffer asks the system three things more, and waits after each
            data = file.read(item.bytes + 1)
        # Whoever looked at the file before read it another time, and what is kept counts for that digest from now on.
        if sha256(data).hexdigest() != item.sha256:
            raise OddObject(item.key)
        columns = decode(data, MOST_BYTES)
    except (OSError, UnreadableFooter) as error:
        raise OddObject(item.key) from error
    times = columns.times_ms
    if len(times) != item.rows or not len(times) or not are_whole(columns):
        raise OddObject(item.key)
    if times[0] < item.first_ms or times[-1] > item.last_ms:
        raise OddObject(item.key)
    return columns
