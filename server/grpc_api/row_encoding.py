"""The rows of a page as protobuf writes them, from columns, in compiled code: without a Python object for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from extaudit.v1 import event_pb2

from server.audit_log.batch_decoding import Numbers, RowTexts, Texts
from server.audit_log.columns.compiling import compiled, frozen, inlined
from server.audit_log.columns.copying import copy_into
from server.audit_log.columns.layout import Bytes
from server.audit_log.columns.sha256 import DIGEST_BYTES
from server.audit_log.search.page_columns import (
    PageColumns,
    ReceiptColumns,
    Source,
    WritableRows,
    WrittenRows,
    digests_of,
)
from server.audit_log.search.query import SearchPage
from server.grpc_api.column_encoding import write_varint
from server.grpc_api.messages import identity_message, search_head, search_response

_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def search_answer(page: SearchPage) -> bytes:
    """The answer to SearchEvents, encoded; for threads."""
    if isinstance(page.rows, WritableRows):
        return b"".join((page.rows.written(encoded_rows).data, search_head(page).SerializeToString()))
    return search_response(page).SerializeToString()


def _room(size: int) -> Bytes:
    return np.empty(size, np.uint8)


def encoded_rows(rows: PageColumns, room: Callable[[int], Bytes] = _room) -> WrittenRows:
    """The events of a SearchEventsResponse, encoded; `room` gives as many bytes as it is asked for."""
    receipts = _receipts(rows.receipts)
    ends, sizes, times = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64), frozen(rows.times_ms)
    for texts, found in rows.by_part():
        measure_rows(sizes, found, rows.rows[found], times, texts, receipts)
    np.cumsum(sizes, out=ends)
    out = room(int(ends[-1]) if len(ends) else 0)
    # Part by part, so that what is hashed is still near when it is copied.
    for texts, found in rows.by_part():
        numbers = rows.rows[found]
        digests = frozen(digests_of(texts, numbers))
        write_rows(out, ends - sizes, found, numbers, times, texts, digests, receipts)
    return WrittenRows(out.data, ends)


class _Receipts(NamedTuple):
    """Receipts as compiled code takes them; those of row n are ends[n - 1]..ends[n], of the first from 0."""

    ends: Numbers
    sequences: Numbers
    received_ms: Numbers
    source_numbers: Numbers
    sources: Texts
    """Encoded."""


def _receipts(receipts: ReceiptColumns) -> _Receipts:
    encoded = [_encoded(source) for source in receipts.sources]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return _Receipts(
        frozen(receipts.ends),
        frozen(receipts.sequences),
        frozen(receipts.received_ms),
        frozen(receipts.source_numbers),
        Texts(frozen(offsets), np.frombuffer(b"".join(encoded), np.uint8)),
    )


def _encoded(source: Source) -> bytes:
    emitter = identity_message(source.emitter) if source.emitter else None
    return event_pb2.Receipt(
        storage=source.storage, log_id=source.log_id, emitter=emitter, peer=source.peer
    ).SerializeToString()


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


@inlined
def _text(texts: Texts, number: int) -> Bytes:
    first = texts.offsets[0]
    return texts.data[texts.offsets[number] - first : texts.offsets[number + 1] - first]


@compiled
def _length(texts: Texts, number: int) -> int:
    return int(texts.offsets[number + 1] - texts.offsets[number])


@compiled
def _row_bytes(row: int, number: int, times_ms: Numbers, texts: RowTexts, receipts: _Receipts) -> int:
    """What is in an EventRow: the one of row `row` of the page, whose texts are row `number` of its part."""
    json = _length(texts.json, number)
    inner = _time_bytes(times_ms[row])
    size = 1 + _varint_bytes(np.uint64(inner)) + inner + 2 + 2 * DIGEST_BYTES + _number_bytes(json) + _text_bytes(json)
    size += _text_bytes(_length(texts.types, number)) + _text_bytes(_length(texts.uids, number))
    size += _text_bytes(_length(texts.session_ids, number)) + _text_bytes(_length(texts.users, number))
    for receipt in range(receipts.ends[row - 1] if row else 0, receipts.ends[row]):
        source = _length(receipts.sources, receipts.source_numbers[receipt])
        inner = _receipt_bytes(source, receipts.sequences[receipt], receipts.received_ms[receipt])
        size += 1 + _varint_bytes(np.uint64(inner)) + inner
    return size


@compiled
def measure_rows(
    sizes: Numbers, rows: Numbers, numbers: Numbers, times_ms: Numbers, texts: RowTexts, receipts: _Receipts
) -> None:
    """Tell what `write_rows` writes of each of these rows, in bytes."""
    for place in range(len(rows)):
        size = _row_bytes(rows[place], numbers[place], times_ms, texts, receipts)
        sizes[rows[place]] = 1 + _varint_bytes(np.uint64(size)) + size


@compiled
def write_rows(
    out: Bytes,
    starts: Numbers,
    rows: Numbers,
    numbers: Numbers,
    times_ms: Numbers,
    texts: RowTexts,
    digests: Bytes,
    receipts: _Receipts,
) -> None:
    """Write rows of one part as EventRows in field 1, each where it begins; `digests` are of these alone."""
    for place in range(len(rows)):
        row, number = rows[place], numbers[place]
        json = _text(texts.json, number)
        out[starts[row]] = 0x0A
        at = write_varint(out, starts[row] + 1, np.uint64(_row_bytes(row, number, times_ms, texts, receipts)))
        at = _write_text(out, at, 0x0A, json)
        at = _write_time(out, at, 0x12, times_ms[row])
        at = _write_text(out, at, 0x1A, _text(texts.types, number))
        at = _write_text(out, at, 0x22, _text(texts.uids, number))
        at = _write_text(out, at, 0x2A, _text(texts.session_ids, number))
        at = _write_text(out, at, 0x32, _text(texts.users, number))
        at = _write_digest(out, at, 0x3A, digests[place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES])
        at = _write_receipts(out, at, row, receipts)
        _write_number(out, at, 0x50, len(json))


@compiled
def _write_receipts(out: Bytes, at: int, row: int, receipts: _Receipts) -> int:
    for receipt in range(receipts.ends[row - 1] if row else 0, receipts.ends[row]):
        encoded = _text(receipts.sources, receipts.source_numbers[receipt])
        sequence, received_ms = receipts.sequences[receipt], receipts.received_ms[receipt]
        out[at] = 0x42
        at = write_varint(out, at + 1, np.uint64(_receipt_bytes(len(encoded), sequence, received_ms)))
        copy_into(out, at, encoded)
        at = _write_number(out, at + len(encoded), 0x18, sequence)
        if received_ms:
            at = _write_time(out, at, 0x32, received_ms)
    return at
