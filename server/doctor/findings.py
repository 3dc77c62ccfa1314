"""What the doctor finds: faults with stable names, each with its remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is: worth knowing, to be seen to before long, or wrong now."""

    NOTICE = "notice"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that can be wrong. `name` is stable: scripts may ask for it."""

    name: str
    severity: Severity
    what: str
    """One sentence."""
    remedy: str
    """What to do about it."""

    def of(self, subject: str, detail: str = "", *, remedy: str = "") -> Finding:
        """That this is wrong with `subject`; `remedy` where a more exact one than the fault's is known."""
        return Finding(self, subject, detail, remedy or self.remedy)


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault that was found."""

    fault: Fault
    subject: str
    """What it is wrong with: a file below the data directory, a certificate, a role."""
    detail: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that was looked at and is as it should be, told as evidence."""

    name: str
    value: str | int | float


Told = Iterable[Finding | Fact]
"""What a check tells."""


class Unexamined(Exception):
    """A check, or the rest of it, can't be made; the text says why."""
