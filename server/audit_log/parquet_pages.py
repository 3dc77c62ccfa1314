"""What the pages of a Parquet file say that they unpack to, read from their headers before anything is unpacked.

Libraries make room for as much as a header says, up to 2 GiB, whatever the footer says of it. And a page may say once
what counts for many rows: a value in a dictionary, or the beginning that values share.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from server.regular_files import open_regular

MOST_PAGE_BYTES: Final = 128 * 1024 * 1024
"""The largest page that is unpacked: a page holds about a megabyte, or one event."""
MOST_PAGES: Final = 50_000
"""Of one file."""
MOST_UNPACKED_BYTES: Final = 4 * 1024 * 1024 * 1024
"""Of one file: with all values, each as often as there are rows that have it."""
_KIND, _UNPACKED, _PACKED = (1,), (2,), (3,)
"""Where a page's header has its kind and its sizes."""
_ENCODINGS: Final = ((5, 2), (8, 4))
"""Where it has the encoding of values, in either version."""
_DICTIONARY_PAGE, _SHARED_BEGINNINGS = 2, 7
_MOST_FIELDS: Final = 1000
"""Of one header; there are some twenty."""
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
TOO_MANY: Final = f"has more than {MOST_PAGES} pages"
TOO_MUCH: Final = f"comes to more than {MOST_UNPACKED_BYTES} bytes unpacked"
_INTEGERS = (4, 5, 6)
_DEEPEST = 8


class PagesRefused(ValueError):
    """The pages are none, or more or larger than are unpacked; the text is in our own words."""


@dataclass(slots=True)
class Unpacked:
    """What pages come to, in bytes."""

    pages: int = 0
    """How many there are."""
    largest: int = 0
    """The largest page."""
    dictionary: int = 0
    """The largest that has values for others to name."""
    total: int = 0
    """All pages."""
    read: int = 0
    """The values of the largest chunk, at most, but each of a dictionary once."""
    most: int = 0
    """All values, at most: what is said once may count for every row."""

    def add(self, chunk: Unpacked) -> None:
        """Count a chunk of the same column."""
        self.pages += chunk.pages
        self.total += chunk.total
        self.most += chunk.most
        self.largest = max(self.largest, chunk.largest)
        self.dictionary = max(self.dictionary, chunk.dictionary)
        self.read = max(self.read, chunk.read)


def check_pages(path: str | os.PathLike[str], chunks: Iterable[tuple[int, int, int]]) -> Unpacked:
    """Look at the headers of all pages in chunks of columns, each given by where it begins and ends, and its rows.

    Raises:
        PagesRefused: see there.
        OSError: the file can't be read.
    """
    unpacked = Unpacked()
    with open(path, "rb", opener=open_regular) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for start, end, rows in chunks:
            at, chunk = start, Unpacked()
            while at < end:
                at = _behind_page(data, at, rows, chunk)
            unpacked.add(chunk)
    return unpacked


def check_total(parts: Collection[Unpacked]) -> None:
    """Look at what the pages of one file come to together.

    Raises:
        PagesRefused: see there.
    """
    if sum(part.pages for part in parts) > MOST_PAGES:
        raise PagesRefused(TOO_MANY)
    if sum(part.total for part in parts) > MOST_UNPACKED_BYTES:
        raise PagesRefused(TOO_MUCH)


def _behind_page(data: mmap.mmap, at: int, rows: int, of_all: Unpacked) -> int:
    """Where the page ends whose header begins here; adds what it comes to."""
    header = _Header(data, at)
    try:
        found = header.integers()
        unpacked, packed = found[_UNPACKED], found[_PACKED]
    except (LookupError, ValueError) as error:
        raise PagesRefused("has pages that can't be read") from error
    if unpacked < 0 or packed < 0:
        raise PagesRefused("has pages that can't be read")
    if unpacked > MOST_PAGE_BYTES:
        raise PagesRefused(f"has a page of more than {MOST_PAGE_BYTES} bytes unpacked")
    of_all.pages += 1
    if of_all.pages > MOST_PAGES:
        raise PagesRefused(TOO_MANY)
    of_all.largest = max(of_all.largest, unpacked)
    of_all.total += unpacked
    shares = any(found.get(place) == _SHARED_BEGINNINGS for place in _ENCODINGS)
    is_dictionary = found.get(_KIND) == _DICTIONARY_PAGE
    most = unpacked * max(1, rows) if shares or is_dictionary else unpacked
    of_all.most += most
    of_all.read += most if shares else unpacked
    of_all.dictionary = max(of_all.dictionary, unpacked if is_dictionary else 0)
    if shares and most > MOST_UNPACKED_BYTES:
        raise PagesRefused(f"{TOO_MUCH}, as far as its encoding tells")
    return header.at + packed


class _Header:
    """A struct in Thrift's compact protocol."""

    def __init__(self, data: mmap.mmap, at: int) -> None:
        self._data = data
        self.at = at
        self._fields = 0

    def integers(self) -> dict[tuple[int, ...], int]:
        """Reads to its end; gives its fields that are integers, and those of structs in it, by their numbers."""
        found: dict[tuple[int, ...], int] = {}
        self._struct((), found)
        return found

    def _struct(self, place: tuple[int, ...], found: dict[tuple[int, ...], int]) -> None:
        if len(place) > _DEEPEST:
            raise ValueError("nested too deep")
        number = 0
        while first := self._byte():
            self._count()
            step, kind = first >> 4, first & 15
            number = number + step if step else self._zigzag()
            if kind in _INTEGERS:
                found[*place, number] = self._zigzag()
            elif kind not in (_TRUE, _FALSE):
                self._skip(kind, (*place, number), found)

    def _skip(self, kind: int, place: tuple[int, ...], found: dict[tuple[int, ...], int]) -> None:
        self._count()
        if kind in (_TRUE, _FALSE, _BYTE):
            self._pass(1)
        elif kind in _INTEGERS:
            self._varint()
        elif kind == _DOUBLE:
            self._pass(8)
        elif kind == _BINARY:
            self._pass(self._varint())
        elif kind == _STRUCT:
            self._struct(place, found)
        elif kind in (_LIST, _SET):
            first = self._byte()
            for _ in range(first >> 4 if first >> 4 < 15 else self._varint()):
                self._skip(first & 15, (*place, 0), found)
        else:
            raise ValueError("no header of a page has this")

    def _count(self) -> None:
        self._fields += 1
        if self._fields > _MOST_FIELDS:  # a byte is enough for one, and a file may be of nothing else
            raise ValueError("no header has so many")

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
