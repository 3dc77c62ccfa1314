"""What alerts there are: rates of failures with their thresholds, and standing conditions with their remedies."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

RAISE_RATE: Final = (2, 5)
"""Errors in calls, as a fraction, from which on an alert is raised: 40 %."""
CLEAR_RATE: Final = (1, 20)
"""Errors in calls, as a fraction, up to which it is cleared: 5 %."""


class AlertKind(enum.Enum):
    """What can fail of a storage; the value is the alert's id."""

    EVENT_EMIT = "event-emit"
    EVENT_SEARCH = "event-search"
    SESSION_UPLOAD = "session-upload"
    SESSION_DOWNLOAD = "session-download"


class Severity(enum.Enum):
    """How soon somebody should look; the values are the proto enum's names without prefix."""

    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


@dataclass(frozen=True, slots=True)
class Rates:
    """Of one kind: what it is called, how many errors raise its alert, how many successes clear it, what to do."""

    doing: str
    errors: int
    successes: int
    remedy: str


_TEST: Final = "`extaudit storage test --stage cluster` says what to do"
RATES: Final[Mapping[AlertKind, Rates]] = MappingProxyType(
    {
        AlertKind.EVENT_EMIT: Rates("delivering events", 10, 10, f"events wait in the journal meanwhile; {_TEST}"),
        AlertKind.EVENT_SEARCH: Rates("searching events", 4, 4, f"answers are incomplete and say so; {_TEST}"),
        AlertKind.SESSION_UPLOAD: Rates(
            "uploading session recordings", 4, 8, f"recordings wait on this machine meanwhile; {_TEST}"
        ),
        AlertKind.SESSION_DOWNLOAD: Rates("downloading session recordings", 4, 2, _TEST),
    }
)


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that stands until it is put right: what is told of it, without names of AWS, and what to do."""

    severity: Severity
    text: str
    remedy: str


_RESTORE: Final = (
    "restore what is to be read; and have the bucket's lifecycle rules archive nothing that is searched or played"
)
STANDING: Final[Mapping[str, Condition]] = MappingProxyType(
    {
        "object-name-taken": Condition(
            Severity.MEDIUM,
            "other bytes have the name of an object of events, which went out under another name",
            "nothing is lost; find out who writes to the storage and takes names that the service gives; delete what "
            "has them",
        ),
        "object-missing": Condition(
            Severity.HIGH,
            "an object of events that was stored isn't there",
            "find out who removed it; in a bucket with versions an earlier version can be brought back",
        ),
        "object-changed": Condition(
            Severity.HIGH,
            "an object of events has other bytes than were stored",
            "find out who replaced it; in a bucket with versions an earlier version can be brought back",
        ),
        "object-archived": Condition(
            Severity.MEDIUM,
            "objects of events are archived: those that aren't copied here can't be read, and answers say so",
            _RESTORE,
        ),
        "versions-suspended": Condition(
            Severity.HIGH,
            "the storage keeps versions no more: what is stored from now on can be written over or deleted for good",
            "find out who suspended versions, and enable them again; what is written over meanwhile the scrub finds; "
            "a bucket with object lock can't have them suspended",
        ),
        "recording-missing": Condition(
            Severity.HIGH,
            "a recording that was stored isn't there, or was deleted",
            "find out who removed it; in a bucket with versions the version that was stored can be brought back",
        ),
        "recording-changed": Condition(
            Severity.HIGH,
            "a recording, or its custody record, isn't what was stored",
            "find out who replaced it; in a bucket with versions the version that was stored can be brought back",
        ),
        "recording-archived": Condition(
            Severity.MEDIUM,
            "recordings are archived, and can't be downloaded",
            _RESTORE,
        ),
        "recording-not-sent": Condition(
            Severity.HIGH,
            "recordings that are complete can't be brought to the storage",
            f"they stay on this machine and are tried again every minute; {_TEST}",
        ),
    }
)
"""Each by its name, which is the alert's id."""
