"""Rows that come in columns are encoded as the same rows one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from extaudit.v1 import audit_log_service_pb2 as pb

from server.audit_log.batch_decoding import RowTexts, Texts, texts_of
from server.audit_log.receipts import Emitter
from server.audit_log.search.page_columns import PageColumns, ReceiptColumns, Source, WrittenRows
from server.audit_log.search.query import Cost, Missing, MissingReason, SearchPage, Watermark
from server.grpc_api.messages import search_response
from server.grpc_api.row_encoding import encoded_rows, search_answer

SOURCES = [
    Source("default", "log", Emitter("user", "né", "anchor", "0a", "token", ("Auth",)), "1.2.3.4:5"),
    Source("eas-1", "other", Emitter("component", "node", "", "", ""), ""),
    Source("", "log"),
]
JSON = ["{}", "", '{"a":"é"}', "x" * 127, "x" * 128, "x" * 70_000]
TIMES = [0, 999, 1000, 1_795_003_200_001, 253_402_300_799_999, 5]


def _texts(values: list[str]) -> Texts:
    """The values, out of a column that has others around them."""
    column = pa.array(["before", *values, "after"], pa.string())
    return texts_of(column.slice(1, len(values)))


def _part(rows: Sequence[int]) -> RowTexts:
    return RowTexts(
        _texts(["a.b" for _ in rows]),
        _texts([f"uid-{row}" for row in rows]),
        _texts([["", "s", "", "s" * 300, "", "é"][row] for row in rows]),
        _texts([["", "user", "ü", "", "", ""][row] for row in rows]),
        _texts([JSON[row] for row in rows]),
    )


def _page(rows: int, receipts: list[int]) -> PageColumns:
    """Rows of three parts in turn, of which one has them the other way round and one has none."""
    number = sum(receipts)
    even, odd = range(0, rows, 2), range(1, rows, 2)
    return PageColumns(
        [_part(even), _part([]), _part(odd[::-1])],
        np.array([0, 2] * rows, np.int64)[:rows],
        np.array([row // 2 if row % 2 == 0 else len(odd) - 1 - row // 2 for row in range(rows)], np.int64),
        np.array(TIMES[:rows], np.int64),
        ReceiptColumns(
            np.cumsum(receipts, dtype=np.int64),
            np.array([0, 1, 127, 128, 2**62, 5, 6, 7, 8, 9][:number], np.int64),
            np.array([0, 1, 1000, 1_795_003_200_001, 0, 5, 6, 7, 8, 9][:number], np.int64),
            np.arange(number) % 3,
            SOURCES,
        ),
    )


@pytest.mark.parametrize(("rows", "receipts"), [(6, [1, 2, 1, 3, 0, 1]), (1, [1]), (0, [])])
def test_columns_and_rows_are_the_same_answer(rows: int, receipts: list[int]) -> None:
    missing = [Missing(MissingReason.TIME_LIMIT, "default", "", "time ran out")]
    columns = _page(rows, receipts)

    def page(of: object) -> SearchPage:
        return SearchPage(of, "token", "scan", Cost(1, 2, 3), Watermark({"log": 9}, 3), missing, "query", "why")  # type: ignore[arg-type]

    answer = search_answer(page(columns))
    assert pb.SearchEventsResponse.FromString(answer) == search_response(page(list(columns)))
    assert len(pb.SearchEventsResponse.FromString(answer).events) == rows


def test_columns_are_a_sequence_of_their_rows() -> None:
    columns = _page(4, [1, 2, 1, 3])
    rows = list(columns)
    assert (columns[-1], columns[1:3], len(columns)) == (rows[3], rows[1:3], 4)
    assert columns == rows
    assert columns != rows[:3]
    with pytest.raises(IndexError):
        columns[4]


def test_parts_of_rows_that_are_written_are_written_as_they_would_be_alone() -> None:
    whole, alone = _page(6, [1, 2, 1, 3, 0, 1]), _page(6, [1, 2, 1, 3, 0, 1])
    whole.written(encoded_rows)
    for start, end in ((0, 2), (2, 5), (5, 6), (0, 6)):
        part = whole.part(start, end)
        assert list(part) == list(alone)[start:end]
        assert part.written(_never).data == alone.part(start, end).written(encoded_rows).data
        assert part.part(0, 1).written(_never).data == alone.part(start, start + 1).written(encoded_rows).data


def _never(_rows: PageColumns) -> WrittenRows:
    raise AssertionError("what is written isn't written again")
