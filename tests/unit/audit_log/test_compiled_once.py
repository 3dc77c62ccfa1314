"""No caller waits for the compiler because an event of another kind is the first of its kind."""

from __future__ import annotations

import os
import subprocess
import sys

from server.audit_log.columns.instructions import HASHES_SHA256
from tests.shape.repository import ROOT

SCRIPT = """
import numpy as np
from rbac.identities import SERVICE
from server.audit_log.batch_columns import columns_by_date
from server.audit_log.columns.event_scan import _scan_all
from server.audit_log.columns.framing import write_event_frames
from server.audit_log.columns.gathering import gather_texts, uid_prefixes
from server.audit_log.columns.instructions import HASHES_SHA256
from server.audit_log.columns.sha256 import hash_texts
from server.audit_log.columns.summaries import shift_offsets, summary
from server.audit_log.columns.uid_index import claim_all, forget_newest, forget_oldest, insert_all, move_all
from server.audit_log.journal.frames import GroupFrames
from server.audit_log.known_uids import KnownUids, UidLimits, uid_entries
from server.audit_log.event_block import rows_of
from server.audit_log.tail import CommitGroup, TailBlock
from server.audit_log.validation import Validator, joined_payloads
from server.audit_log.batch_codec import BatchRow, columns_of
from server.audit_log.batch_decoding import are_whole, in_order, part_of, row_texts, texts_of
from server.grpc_api.column_encoding import encoded_columns, write_numbers, write_texts
from server.grpc_api.emit_batches import _read, decode_batch
from server.grpc_api.row_encoding import encoded_rows, measure_rows, write_rows
from server.audit_log.columns.texts import are_ascii
from server.audit_log.search.page_making import are_within
from server.audit_log.search.page_columns import PageColumns, ReceiptColumns, Source
from server.warming import warm_up
from tests.unit.audit_log.emitters import NODE, NOW_MS, USER
from tests.unit.audit_log.test_validation import BARE, FAST, SLOW, WRONG

CALLED = (
    _scan_all, write_event_frames, claim_all, insert_all, forget_newest, forget_oldest, _read, gather_texts,
    uid_prefixes, summary, shift_offsets, move_all, write_numbers, write_texts, write_rows,
    measure_rows, are_ascii, are_within,
    *([hash_texts] if HASHES_SHA256 else ()),
)
warm_up()
assert all(called.signatures for called in CALLED), "the warming leaves something to the first event"

validator, known, frames = Validator(b"secret", 1000), KnownUids(UidLimits()), GroupFrames()
for emitter in (USER, NODE, SERVICE):
    for payloads in ([FAST], [SLOW], [FAST, BARE, WRONG], [WRONG], []):
        block = validator.validate(joined_payloads(payloads), emitter, NOW_MS).block
        claims = known.claim(block.table, "log", 1, NOW_MS)
        if len(block):
            blocks = [TailBlock(1, NOW_MS, b"[]", block)]
            frames.encode(CommitGroup(blocks, block.table))
            frames.encode(CommitGroup(blocks * 2, rows_of([block, block])))
            list(columns_by_date(blocks * 2))
            stored = validator.stored([block.event(0).data])
            known.add("log", uid_entries(stored.table, 1, NOW_MS))
known.forget(1)
for message in (b"", bytes(5), b"\\x08\\x01\\x12\\x02\\x0a\\x00", b"\\x08\\x01\\x12\\x03\\x0a\\x01a"):
    try:
        decode_batch(message)
    except Exception:
        pass
stored = columns_of([BatchRow(number, 0, "a", "u", "", "", b"{}", "") for number in range(3)])
for part in (stored, in_order([stored]), in_order([stored, stored]), part_of(in_order([stored]), 1, 2), in_order([])):
    encoded_columns([(1, part.sequences)], [(2, texts_of(part.types)), (3, texts_of(part.users))])
    rows = np.arange(len(part.sequences))
    receipts = ReceiptColumns(part.sequences, part.sequences, part.times_ms, part.times_ms * 0, [Source("a", "b")])
    assert are_whole(part) and are_within(row_texts(part), rows, 9, 9)
    encoded_rows(PageColumns([row_texts(part)], rows * 0, rows, part.times_ms, receipts))
for called in CALLED:
    print(called.__name__, len(called.signatures))
"""


def test_what_python_calls_is_compiled_for_one_kind_of_arguments() -> None:
    paths = os.pathsep.join(str(ROOT / folder) for folder in (".", "protos/gen"))
    environment = os.environ | {"PYTHONPATH": paths}
    command = [sys.executable, "-c", SCRIPT]
    found = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=250, check=True)
    called = dict(line.split() for line in found.stdout.splitlines())
    assert len(called) == 18 + HASHES_SHA256
    assert set(called.values()) == {"1"}, called
