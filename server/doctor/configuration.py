"""The configuration: everything wrong with it, at once."""

from __future__ import annotations

from typing import Final

from server.doctor.data_at_hand import DataAtHand
from server.doctor.findings import Fault, Severity, Told

WRONG: Final = Fault(
    "configuration_wrong",
    Severity.ERROR,
    "A setting is wrong: the server doesn't start. The other checks were made with its default.",
    "Put the setting right where it is named: in the file, the environment or a flag. docs/configuration.md has all.",
)

FAULTS: Final = (WRONG,)


def check(at: DataAtHand) -> Told:
    """Tell what reading the configuration came to."""
    for problem in at.problems:
        subject, _, detail = problem.partition(": ")
        yield WRONG.of(subject, detail)
