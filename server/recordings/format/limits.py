"""How much a recording may ask of whoever reads it."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of reading. Each is for one part, but for `told_damages`. Sizes are bytes."""

    record_bytes: int = 64 * KIB
    """The largest record that is read; a larger one is damage and passed over. At least 1."""
    part_bytes: int = 5 * GIB
    """The largest size, and the largest padding, that a part's header may name."""
    unpacked_bytes: int = 4 * GIB
    """How much a part may hold unpacked."""
    expansion: int = 1000
    """How many times its packed size a part may hold unpacked, once that is more than 1 MiB. Zeros that a terminal
    showed reach 700, what deflate can do is 1032."""
    bad_records: int = 100
    """How many records of a part may be unreadable before the rest of it is given up."""
    told_damages: int = 1000
    """How many damages of a recording are given; later ones are only counted."""
