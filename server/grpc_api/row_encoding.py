"""The rows of a page as protobuf writes them, from columns, in compiled code: without a Python object for each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from extaudit.v1 import event_pb2

from server.audit_log.batch_decoding import Numbers, PickedTexts, Texts
from server.audit_log.columns.compiling import compiled, frozen
from server.audit_log.columns.copying import copy_into
from server.audit_log.columns.layout import Bytes
from server.audit_log.columns.sha256 import DIGEST_BYTES
from server.audit_log.search.page_columns import PageColumns, Source, WrittenRows
from server.audit_log.search.query import SearchPage
from server.grpc_api.column_encoding import write_varint
from server.grpc_api.messages import identity_message, search_head, search_response

_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_MOST_BESIDE_TEXTS = 160
"""Of a row: its tags, lengths, time and digest."""
_MOST_BESIDE_SOURCE = 64
"""Of a receipt: its tags, lengths, sequence and time."""


def search_answer(page: SearchPage) -> bytes:
    """The answer to SearchEvents, encoded; for threads."""
    if isinstance(page.rows, PageColumns):
        return b"".join((page.rows.written(encoded_rows).data, search_head(page).SerializeToString()))
    return search_response(page).SerializeToString()


def encoded_rows(rows: PageColumns) -> WrittenRows:
    """The events of a SearchEventsResponse, encoded."""
    receipts = rows.receipts
    sources = _texts([_encoded(source) for source in receipts.sources])
    json, types, uids = _frozen(rows.json), _frozen(rows.types), _frozen(rows.uids)
    session_ids, users = _frozen(rows.session_ids), _frozen(rows.users)
    texts = (json, types, uids, session_ids, users)
    size = _MOST_BESIDE_TEXTS * len(rows) + sum(int(each.lengths.sum()) for each in texts)
    size += _MOST_BESIDE_SOURCE * len(receipts.sequences) + int(_lengths(sources)[receipts.source_numbers].sum())
    out, ends = np.empty(size, np.uint8), np.empty(len(rows), np.int64)
    end = write_rows(
        out,
        ends,
        frozen(rows.times_ms),
        json,
        types,
        uids,
        session_ids,
        users,
        frozen(rows.digests),
        frozen(receipts.ends),
        frozen(receipts.sequences),
        frozen(receipts.received_ms),
        frozen(receipts.source_numbers),
        Texts(frozen(sources.offsets), frozen(sources.data)),
    )
    return WrittenRows(out[:end].data, ends)


def _encoded(source: Source) -> bytes:
    emitter = identity_message(source.emitter) if source.emitter else None
    return event_pb2.Receipt(
        storage=source.storage, log_id=source.log_id, emitter=emitter, peer=source.peer
    ).SerializeToString()


def _texts(encoded: Sequence[bytes]) -> Texts:
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return Texts(offsets, np.frombuffer(b"".join(encoded), np.uint8))


def _frozen(texts: PickedTexts) -> PickedTexts:
    return PickedTexts(frozen(texts.starts), frozen(texts.ends), frozen(texts.data))


def _lengths(texts: Texts) -> Numbers:
    return np.diff(texts.offsets).astype(np.int64)


@compiled
def _varint_bytes(value: np.uint64) -> int:
    size = 1
    while value > np.uint64(127):
        value = value >> np.uint64(7)
        size += 1
    return size


@compiled
def _number_bytes(value: int) -> int:
    """What a number takes as a field of a tag of one byte; nothing where it is 0."""
    return 1 + _varint_bytes(np.uint64(value)) if value else 0


@compiled
def _text_bytes(length: int) -> int:
    return 1 + _varint_bytes(np.uint64(length)) + length if length else 0


@compiled
def _time_bytes(time_ms: int) -> int:
    """What the members of a Timestamp take."""
    return _number_bytes(time_ms // 1000) + _number_bytes(time_ms % 1000 * 1_000_000)


@compiled
def _write_number(out: Bytes, at: int, tag: int, value: int) -> int:
    if not value:
        return at
    out[at] = tag
    return write_varint(out, at + 1, np.uint64(value))


@compiled
def _write_text(out: Bytes, at: int, tag: int, text: Bytes) -> int:
    if not len(text):
        return at
    out[at] = tag
    at = write_varint(out, at + 1, np.uint64(len(text)))
    copy_into(out, at, text)
    return at + len(text)


@compiled
def _write_time(out: Bytes, at: int, tag: int, time_ms: int) -> int:
    out[at] = tag
    at = write_varint(out, at + 1, np.uint64(_time_bytes(time_ms)))
    at = _write_number(out, at, 0x08, time_ms // 1000)
    return _write_number(out, at, 0x10, time_ms % 1000 * 1_000_000)


@compiled
def _write_digest(out: Bytes, at: int, tag: int, digest: Bytes) -> int:
    out[at] = tag
    out[at + 1] = 2 * len(digest)
    at += 2
    for byte in digest:
        out[at] = _HEX[byte >> np.uint8(4)]
        out[at + 1] = _HEX[byte & np.uint8(15)]
        at += 2
    return at


@compiled
def _receipt_bytes(source: int, sequence: int, received_ms: int) -> int:
    size = source + _number_bytes(sequence)
    if received_ms:
        inner = _time_bytes(received_ms)
        size += 1 + _varint_bytes(np.uint64(inner)) + inner
    return size


@compiled
def write_rows(
    out: Bytes,
    ends: Numbers,
    times_ms: Numbers,
    json: PickedTexts,
    types: PickedTexts,
    uids: PickedTexts,
    session_ids: PickedTexts,
    users: PickedTexts,
    digests: Bytes,
    receipt_ends: Numbers,
    sequences: Numbers,
    received_ms: Numbers,
    source_numbers: Numbers,
    sources: Texts,
) -> int:
    """Write each row as an EventRow in field 1, and where it ends; gives where the last one does."""
    at, receipt = 0, 0
    for row in range(len(times_ms)):
        time_ms = times_ms[row]
        data = json.data[json.starts[row] : json.ends[row]]
        type_ = types.data[types.starts[row] : types.ends[row]]
        uid = uids.data[uids.starts[row] : uids.ends[row]]
        session = session_ids.data[session_ids.starts[row] : session_ids.ends[row]]
        user = users.data[users.starts[row] : users.ends[row]]
        inner = _time_bytes(time_ms)
        size = 1 + _varint_bytes(np.uint64(inner)) + inner + 2 + 2 * DIGEST_BYTES + _number_bytes(len(data))
        size += _text_bytes(len(data)) + _text_bytes(len(type_)) + _text_bytes(len(uid))
        size += _text_bytes(len(session)) + _text_bytes(len(user))
        for number in range(receipt, receipt_ends[row]):
            source = source_numbers[number]
            length = sources.offsets[source + 1] - sources.offsets[source]
            inner = _receipt_bytes(length, sequences[number], received_ms[number])
            size += 1 + _varint_bytes(np.uint64(inner)) + inner
        out[at] = 0x0A
        at = write_varint(out, at + 1, np.uint64(size))
        at = _write_text(out, at, 0x0A, data)
        at = _write_time(out, at, 0x12, time_ms)
        at = _write_text(out, at, 0x1A, type_)
        at = _write_text(out, at, 0x22, uid)
        at = _write_text(out, at, 0x2A, session)
        at = _write_text(out, at, 0x32, user)
        at = _write_digest(out, at, 0x3A, digests[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES])
        while receipt < receipt_ends[row]:
            source = source_numbers[receipt]
            encoded = sources.data[sources.offsets[source] : sources.offsets[source + 1]]
            out[at] = 0x42
            inner = _receipt_bytes(len(encoded), sequences[receipt], received_ms[receipt])
            at = write_varint(out, at + 1, np.uint64(inner))
            copy_into(out, at, encoded)
            at = _write_number(out, at + len(encoded), 0x18, sequences[receipt])
            if received_ms[receipt]:
                at = _write_time(out, at, 0x32, received_ms[receipt])
            receipt += 1
        at = _write_number(out, at, 0x50, len(data))
        ends[row] = at
    return at
