"""What a check is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from server.doctor.findings import Fault, Told

At = TypeVar("At")


@dataclass(frozen=True, slots=True)
class Check(Generic[At]):
    """One check of something. `name` is stable: `--check` takes it."""

    name: str
    what: str
    """One sentence."""
    faults: tuple[Fault, ...]
    """Everything it can find."""
    make: Callable[[At], Told]
