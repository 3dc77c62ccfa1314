"""The filters of a search over the columns of a batch. Held equal to `storage.matching` by test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from server.audit_log.batch_codec import BatchColumns
from server.audit_log.batch_decoding import events, taken
from server.storage.matching import compile_filters
from server.storage.query import Filters

Mask = NDArray[np.bool_]


def matching(columns: BatchColumns, filters: Filters) -> Mask:
    """Which rows pass. The JSON is looked at only of rows whose other columns do."""
    mask = np.ones(len(columns.sequences), np.bool_)
    if filters.from_ms is not None:
        mask &= columns.times_ms >= filters.from_ms
    if filters.to_ms is not None:
        mask &= columns.times_ms < filters.to_ms
    sessions = frozenset({filters.session_id} if filters.session_id else ())
    for texts, wanted in (
        (columns.types, filters.types),
        (columns.users, filters.users),
        (columns.uids, filters.uids),
        (columns.session_ids, sessions),
    ):
        if wanted:
            mask &= _one_of(texts, wanted)
    in_json = replace(filters, from_ms=None, to_ms=None, types=frozenset(), users=frozenset(), uids=frozenset())
    in_json = replace(in_json, session_id="")
    if in_json != Filters() and mask.any():
        rows = np.flatnonzero(mask)
        matches = compile_filters(in_json)
        mask[rows] = [matches(*event[:6]) for _, event in events(taken(columns, rows))]
    return mask


def _one_of(texts: pa.Array, wanted: frozenset[str]) -> Mask:
    found: Mask = pc.is_in(texts, pa.array(sorted(wanted), pa.string())).to_numpy(zero_copy_only=False)
    return found
