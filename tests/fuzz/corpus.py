"""The recordings that fuzzing begins with, beside those in `recordings/`: each shows one way to be odd.

`python -m tests.fuzz.corpus` writes them into that folder again. What a run of fuzzing found stands there too, under a
name that says what it was.
"""

from __future__ import annotations

import gzip
from pathlib import Path

from tests.unit.recordings.format.recordings import framed, part, print_record, prints

FOLDER = Path(__file__).parent / "recordings"
FIRST, LAST = part(prints(0, 1)), part(prints(8, 9))
PACKED = gzip.compress(prints(2, 3), mtime=0)


def among_others(data: bytes) -> bytes:
    """Put it between two sound parts."""
    return FIRST + data + LAST


def corpus() -> dict[str, bytes]:
    """Every recording, by its name."""
    zeros = gzip.compress(bytes(1 << 26), 9, mtime=0)
    tiny = gzip.compress(framed(b"\xfa\x3f\x02\x0a\x00") * 40_000, 9, mtime=0)
    passed_over = gzip.compress(b"\x7f\xff\xff\xff" + bytes(1 << 26), 9, mtime=0)
    odd = {
        "bomb-of-zeros": part(b"", packed=zeros),
        "bomb-of-one-large-record": part(b"", packed=passed_over),
        "bomb-of-tiny-records": part(b"", packed=tiny),
        "truncated-content": part(b"", packed=PACKED[:30], size=len(PACKED)),
        "size-too-small": part(b"", packed=PACKED, size=len(PACKED) - 9),
        "size-too-large": part(b"", packed=PACKED, size=len(PACKED) + 70),
        "size-beyond-all": part(b"", packed=PACKED, size=2**64 - 1),
        "padding-too-large": part(b"", packed=PACKED, padding=2**20)[: -(2**20)],
        "padding-too-small": part(b"", packed=PACKED, padding=9) + bytes(30),
        "wrong-checksum": part(b"", packed=PACKED[:-8] + bytes(8)),
        "zeros-within-the-size": part(b"", packed=PACKED + bytes(200)),
        "more-after-the-member": part(b"", packed=PACKED + PACKED),
        "padding": part(b"", packed=PACKED, padding=300),
        "header-only": part(b"", packed=b"") + part(b"", packed=b"", padding=40),
        "encrypted": part(b"", packed=b"\x9b" * 99, version=2, flags=1, padding=20),
        "version-2": part(b"", packed=PACKED, version=2),
        "unknown-version": part(b"", packed=PACKED, version=3),
        "record-of-length-0": part(prints(2) + framed(b"") + prints(3)),
        "record-too-large": part(prints(2) + framed(print_record(3, bytes(70_000))) + prints(4)),
        "record-that-lies": part(prints(2) + b"\xff\xff\xff\xff" + prints(3)),
        "unknown-kind": part(prints(2) + framed(b"\x9a\x01\x02\x08\x01") + prints(3)),
        "header-inside-a-header": part(prints(2))[:30] + part(prints(2), size=4000)[:-20],
        "doubled": part(prints(2, 3, 2, 3, 4)) + part(prints(3, 4, 5)),
        "garbage": b"\x00\x1f\x8b\x08" * 40,
    }
    return {name: among_others(data) for name, data in odd.items()} | {"truncated-header": FIRST + LAST[:20]}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, data in corpus().items():
        (FOLDER / f"{name}.bin").write_bytes(data)
