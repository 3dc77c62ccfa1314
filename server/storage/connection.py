"""The port of connection tests: what is wanted of a place in an account, and what checks found there."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from server.storage.spec import StorageOptions, StorageSpec


class Outcome(enum.Enum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    WARNING = "warning"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True, slots=True)
class Check:
    """A check that ended; texts are in our own words."""

    name: str
    subject: str
    """The bucket, prefix, table, workgroup or role that was looked at."""
    outcome: Outcome
    detail: str
    aws_error_code: str = ""
    missing_action: str = ""
    wrong_setting: str = ""
    remedy: str = ""
    aws_request_id: str = ""
    seconds: float = 0.0
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class WantedTable:
    """How the table of events is to be described. Columns are names and types; parameters are names and values."""

    columns: tuple[tuple[str, str], ...]
    partition_keys: tuple[tuple[str, str], ...]
    location: str
    input_format: str
    output_format: str
    serialization_library: str
    serialization_parameters: tuple[tuple[str, str], ...]
    table_type: str
    parameters: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What has to be there, and be reached with which role."""

    spec: StorageSpec
    options: StorageOptions
    table: WantedTable
    role_arn: str
    account_id: str
    issuer: str
    audience: str
    subject: str
    """What the tokens have in `iss`, `aud` and `sub`."""
    test_id: str
    """A UUID; keys that the test uses are named by it."""


class ConnectionProbe(Protocol):
    """Makes the checks. It blocks, and belongs on a thread."""

    def run(
        self, wanted: Wanted, token: Callable[[], str], report: Callable[[Check], None], stopped: Callable[[], bool]
    ) -> None:
        """Make every check, one after the other, and report each as it ends; none hides the next.

        Once `stopped` is true no further check is begun, and what the test began in the account is taken back before
        this returns. No error is raised for anything that AWS says.
        """
        ...
