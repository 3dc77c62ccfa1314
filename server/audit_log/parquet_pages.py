"""What the pages of a Parquet file say that they unpack to, read from their headers before anything is unpacked.

Libraries make room for as much as a header says, up to 2 GiB, whatever the footer says of it.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from typing import Final

MOST_PAGE_BYTES: Final = 128 * 1024 * 1024
"""The largest page that is unpacked: a page holds about a megabyte, or one event."""
MOST_PAGES: Final = 50_000
"""Of one file."""
_UNPACKED, _PACKED = 2, 3
"""Numbers of the fields of a page's header that have its sizes."""
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS = (4, 5, 6)
_DEEPEST = 8


class PagesRefused(ValueError):
    """The pages are none, or more or larger than are unpacked; the text is in our own words."""


def check_pages(path: str | os.PathLike[str], chunks: Iterable[tuple[int, int]]) -> None:
    """Look at the headers of all pages in chunks of columns, each given by where it begins and ends.

    Raises:
        PagesRefused: see there.
        OSError: the file can't be read.
    """
    pages = 0
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for start, end in chunks:
            at = start
            while at < end:
                pages += 1
                if pages > MOST_PAGES:
                    raise PagesRefused(f"has more than {MOST_PAGES} pages")
                at = _behind_page(data, at)


def _behind_page(data: mmap.mmap, at: int) -> int:
    """Where the page ends whose header begins here."""
    header = _Header(data, at)
    try:
        sizes = header.integers()
        unpacked, packed = sizes[_UNPACKED], sizes[_PACKED]
    except (LookupError, ValueError) as error:
        raise PagesRefused("has pages that can't be read") from error
    if unpacked < 0 or packed < 0:
        raise PagesRefused("has pages that can't be read")
    if unpacked > MOST_PAGE_BYTES:
        raise PagesRefused(f"has a page of more than {MOST_PAGE_BYTES} bytes unpacked")
    return header.at + packed


class _Header:
    """A struct in Thrift's compact protocol."""

    def __init__(self, data: mmap.mmap, at: int) -> None:
        self._data = data
        self.at = at

    def integers(self, depth: int = 0) -> dict[int, int]:
        """Reads to its end; gives its fields that are integers, by number."""
        if depth > _DEEPEST:
            raise ValueError("nested too deep")
        found: dict[int, int] = {}
        number = 0
        while first := self._byte():
            step, kind = first >> 4, first & 15
            number = number + step if step else self._zigzag()
            if kind in _INTEGERS:
                found[number] = self._zigzag()
            elif kind not in (_TRUE, _FALSE):
                self._skip(kind, depth)
        return found

    def _skip(self, kind: int, depth: int) -> None:
        if kind in (_TRUE, _FALSE, _BYTE):
            self._pass(1)
        elif kind in _INTEGERS:
            self._varint()
        elif kind == _DOUBLE:
            self._pass(8)
        elif kind == _BINARY:
            self._pass(self._varint())
        elif kind == _STRUCT:
            self.integers(depth + 1)
        elif kind in (_LIST, _SET):
            first = self._byte()
            for _ in range(first >> 4 if first >> 4 < 15 else self._varint()):
                self._skip(first & 15, depth + 1)
        else:
            raise ValueError("no header of a page has this")

    def _pass(self, size: int) -> None:
        self.at += size
        if self.at > len(self._data):
            raise ValueError("ends too soon")

    def _byte(self) -> int:
        value = self._data[self.at]
        self.at += 1
        return value

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("no number is so long")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
