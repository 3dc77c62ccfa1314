"""Making the checks, one after the other: one that can't be made stops no other."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from server.doctor.check import At, Check
from server.doctor.findings import Fact, Finding, Severity, Unexamined

_log = logging.getLogger(__name__)
MOST_OF_A_FAULT: Final = 100
"""Findings of one fault that are told; the rest of them is counted."""


@dataclass(slots=True)
class Examination:
    """What one check came to."""

    check: str
    findings: list[Finding] = field(default_factory=list)
    untold: dict[str, int] = field(default_factory=dict)
    """Findings beyond the most that are told of one fault, by the fault's name."""
    facts: dict[str, str | int | float] = field(default_factory=dict)
    skipped: str = ""
    """Why it, or the rest of it, couldn't be made."""
    seconds: float = 0.0

    @property
    def result(self) -> str:
        """The worst severity; else `ok`, or `skipped`."""
        found = {finding.fault.severity for finding in self.findings}
        for severity in (Severity.ERROR, Severity.WARNING, Severity.NOTICE):
            if severity in found:
                return severity.value
        return "skipped" if self.skipped else "ok"


def examine(check: Check[At], at: At) -> Examination:
    """Make one check."""
    examination, counts = Examination(check.name), Counter[str]()
    started = time.monotonic()
    try:
        for told in check.make(at):
            _take(examination, counts, told)
    except Unexamined as reason:
        examination.skipped = str(reason)
    except OSError as error:
        _log.debug("a check failed", exc_info=True)
        examination.skipped = f"{error.filename or 'something that it needs'} can't be used ({error.strerror})"
    except Exception as error:
        # A directory that is damaged in a way that nobody thought of is no reason to tell nothing of the rest.
        _log.debug("a check failed", exc_info=True)
        examination.skipped = f"the check itself failed ({type(error).__name__})"
    examination.seconds = time.monotonic() - started
    return examination


def count(examinations: Sequence[Examination], severity: Severity) -> int:
    """How many findings of this severity there are, told or not."""
    told = sum(finding.fault.severity is severity for each in examinations for finding in each.findings)
    untold = 0
    for each in examinations:
        severities = {finding.fault.name: finding.fault.severity for finding in each.findings}
        untold += sum(number for name, number in each.untold.items() if severities[name] is severity)
    return told + untold


def _take(examination: Examination, counts: Counter[str], told: Finding | Fact) -> None:
    if isinstance(told, Fact):
        examination.facts[told.name] = told.value
        return
    counts[told.fault.name] += 1
    if counts[told.fault.name] <= MOST_OF_A_FAULT:
        examination.findings.append(told)
    else:
        examination.untold[told.fault.name] = counts[told.fault.name] - MOST_OF_A_FAULT
