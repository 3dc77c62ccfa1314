"""The forms that events are written in."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from extaudit_cli.exporting.csv_rows import CSV_HEAD, CsvEncoder
from extaudit_cli.exporting.json_lines import JsonLinesEncoder

if TYPE_CHECKING:
    from extaudit_client import ExportedEvents

FORMATS: Final = ("jsonl", "csv", "parquet")
_GZIP_LEVEL: Final = 6


class Encoder(Protocol):
    """Writes the events of one file, in pieces."""

    def encode(self, events: ExportedEvents) -> bytes:
        """The bytes that come next; may be none."""
        ...

    def finish(self) -> bytes:
        """The last bytes; the encoder takes no more."""
        ...


@dataclass(frozen=True, slots=True)
class Form:
    """One of FORMATS, whether it is compressed with gzip, and whether each line of JSON carries its receipt."""

    format: str
    gzip: bool = False
    receipts: bool = False

    @property
    def suffix(self) -> str:
        """What the names of its files end in."""
        return f".{self.format}" + (".gz" if self.gzip else "")

    @property
    def appendable(self) -> bool:
        """Whether a file is whole after each piece, so that it can be cut back to one and gone on with."""
        return self.format != "parquet"

    def head(self) -> bytes:
        """What every file begins with."""
        head = CSV_HEAD if self.format == "csv" else b""
        return _member(head) if self.gzip else head

    def encoder(self) -> Encoder:
        """An encoder for one file."""
        if self.format == "parquet":
            from extaudit_cli.exporting.parquet_rows import ParquetEncoder

            return ParquetEncoder()
        plain = CsvEncoder() if self.format == "csv" else JsonLinesEncoder(receipts=self.receipts)
        return _GzipEncoder(plain) if self.gzip else plain


class _GzipEncoder:
    """Makes each piece a gzip member of its own: a file of members is a gzip file, whole wherever one ends."""

    def __init__(self, plain: Encoder) -> None:
        self._plain = plain

    def encode(self, events: ExportedEvents) -> bytes:
        return _member(self._plain.encode(events))

    def finish(self) -> bytes:
        return _member(self._plain.finish())


def _member(data: bytes) -> bytes:
    return gzip.compress(data, _GZIP_LEVEL, mtime=0) if data else b""
