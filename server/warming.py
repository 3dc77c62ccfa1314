"""Runs compiled code once, so that no event waits for a compiler: `python -m server.warming` does it ahead of a start.

Compiling takes some twenty seconds on a new machine, and less than one where the machine code is kept from before.
"""

from __future__ import annotations

import numpy as np

from rbac.identities import SERVICE
from server.audit_log.batch_columns import columns_by_date
from server.audit_log.batch_decoding import RowTexts, Texts, texts_in
from server.audit_log.columns.compiling import frozen
from server.audit_log.columns.selecting import TypeSelection
from server.audit_log.columns.texts import are_ascii
from server.audit_log.event_block import rows_of
from server.audit_log.journal.frames import GroupFrames
from server.audit_log.known_uids import KnownUids, UidLimits, uid_entries
from server.audit_log.search.page_columns import PageColumns, ReceiptColumns, Source
from server.audit_log.search.page_making import are_within
from server.audit_log.tail import CommitGroup, TailBlock
from server.audit_log.validation import Validator, joined_payloads
from server.grpc_api.column_encoding import encoded_columns
from server.grpc_api.emit_batches import decode_batch
from server.grpc_api.row_encoding import encoded_rows

_EVENT = b'{"event":"a","uid":"u","time":"2026-11-01T00:00:00Z"}'
_MESSAGE = b"\x08\x01\x12\x04\x0a\x02{}"


def warm_up() -> None:
    """Take an event the whole way, but for the disk."""
    decode_batch(_MESSAGE)
    validator, known = Validator(b"warming", 2**16), KnownUids(UidLimits(minimum=0))  # so that there are some to forget
    block, other = (validator.validate(joined_payloads([_EVENT, b'{"event":"b"}']), SERVICE, 2**41).block for _ in "12")
    known.claim(block.table, "0" * 20, 1, 0)
    known.forget(1)
    known.add("0" * 20, np.repeat(uid_entries(block.table, 1, 0), 10_000, axis=0))  # so many that the table grows
    blocks = [TailBlock(1, 0, b"[]", block), TailBlock(3, 0, b"[]", other)]
    GroupFrames().encode(CommitGroup(blocks, rows_of([block, other])))
    list(columns_by_date(blocks))
    TypeSelection(["a"]).rows(block.data, block.table)
    encoded_columns([(1, np.zeros(1, np.int64))], [(1, texts_in(["a"]))])
    warm_up_rows()


def warm_up_rows() -> None:
    """Write the row of a page."""
    number, text = np.zeros(1, np.int64), texts_in(["a"])
    text = Texts(frozen(text.offsets), frozen(text.data))
    texts = RowTexts(text, text, text, text, text)
    receipts = ReceiptColumns(number + 1, number, number, number, [Source("a", "a")])
    are_ascii(*(each.data for each in texts))
    are_within(texts, number, 0, 0)
    encoded_rows(PageColumns([texts], number, number, number, receipts))


if __name__ == "__main__":
    warm_up()
