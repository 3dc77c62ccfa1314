"""One query of Athena, by the three calls that the role may make: begun, asked about, its result read."""

from __future__ import annotations

import contextlib
import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from server.storage.aws.clients import ServiceClient
from server.storage.aws.errors import AwsError, translated
from server.storage.finding import FinderFailed
from server.storage.ports import ScanTimeout

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 2.0
_GROWTH: Final = 1.5
LONGEST_QUERY: Final = 1900.0
"""Seconds after which a query has ended, whatever is known of it: Athena ends them after 30 minutes."""
_PAGE_ROWS: Final = 1000
_CODE: Final = re.compile(r"([A-Z][A-Z_]{2,63}):", re.ASCII)
_OVER_LIMIT: Final = "bytes scanned limit was exceeded"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, where, and by which client."""

    sql: str
    parameters: Sequence[str]
    columns: Sequence[str]
    """Of the result."""
    athena: ServiceClient
    workgroup: str
    database: str
    output: str
    """Counts only where the workgroup doesn't say where results go."""
    account_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows as texts, and what they cost."""

    rows: list[list[str]]
    bytes: int
    requests: int


@dataclass(slots=True)
class AthenaQuery:
    """A query on its way. Used by one thread."""

    question: Question
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    requests: int = 0
    bytes: int = 0
    began: float = 0.0
    id: str = ""
    ended: bool = False
    _length: float = FIRST_PAUSE

    def start(self, deadline: float) -> None:
        """Begin it. A repeated call has the same token, so that it is one query whatever answer was lost.

        Raises:
            FinderFailed: Athena won't. ScanTimeout: the deadline passed; it may have begun.
        """
        asked = self.question
        given: dict[str, Any] = {
            "QueryString": asked.sql,
            "ClientRequestToken": f"extaudit-search-{uuid.uuid4()}",
            "QueryExecutionContext": {"Database": asked.database},
            "ResultConfiguration": {"OutputLocation": asked.output, "ExpectedBucketOwner": asked.account_id},
            "WorkGroup": asked.workgroup,
        }
        if asked.parameters:
            given["ExecutionParameters"] = list(asked.parameters)
        self.began = self.clock()
        while True:
            try:
                self.requests += 1
                with translated("athena:StartQueryExecution"):
                    self.id = str(asked.athena.start_query_execution(**given)["QueryExecutionId"])
            except AwsError as error:
                if not error.retryable:
                    raise FinderFailed(str(error)) from error
                self._wait(deadline, error)
                continue
            self._length = FIRST_PAUSE
            return

    def has_ended(self) -> bool:
        """Ask how it is.

        Raises:
            FinderFailed: it ended without a result. AwsError: it can't be told.
        """
        self.requests += 1
        with translated("athena:GetQueryExecution"):  # an answer that was cut off lacks what it should have
            execution = self.question.athena.get_query_execution(QueryExecutionId=self.id)["QueryExecution"]
        status = execution.get("Status") or {}
        state = status.get("State")
        if state not in ("SUCCEEDED", "FAILED", "CANCELLED"):
            return False
        self.ended = True
        self.bytes = int((execution.get("Statistics") or {}).get("DataScannedInBytes") or 0)
        if state != "SUCCEEDED":
            raise FinderFailed(_words(state, str(status.get("StateChangeReason") or "")))
        return True

    def wait(self, deadline: float) -> None:
        """Wait for its end, asking less and less often.

        Raises:
            FinderFailed: it ended without a result, or nothing can be learnt of it. ScanTimeout: the deadline passed.
        """
        while True:
            try:
                if self.has_ended():
                    return
                failure: AwsError | None = None
            except AwsError as error:
                if not error.retryable:
                    raise FinderFailed(str(error)) from error
                failure = error
            self._wait(deadline, failure)

    def wait_unwanted(self, stopped: Callable[[], bool]) -> None:
        """Wait for the end of a query whose result nobody will read, as long as one may run."""
        while self.clock() < self.began + LONGEST_QUERY and not stopped():
            try:
                ended = self.has_ended()
            except FinderFailed:
                ended = True
            except Exception:
                ended = False  # nothing is known, so it may still run
            if ended:
                return
            with contextlib.suppress(FinderFailed):
                self.pause(self._next())

    def rows(self, deadline: float) -> list[list[str]]:
        """The result, page after page.

        Raises:
            FinderFailed: it can't be read, or isn't one of this query. ScanTimeout: the deadline passed.
        """
        found: list[list[str]] = []
        asked: dict[str, Any] = {"QueryExecutionId": self.id, "MaxResults": _PAGE_ROWS}
        while True:
            if self.clock() >= deadline:
                raise ScanTimeout
            try:
                self.requests += 1
                with translated("athena:GetQueryResults"):  # likewise: it would pass for the last page
                    page = self.question.athena.get_query_results(**asked)
                    rows = page["ResultSet"]["Rows"]
            except AwsError as error:
                if not error.retryable:
                    raise FinderFailed(str(error)) from error
                self._wait(deadline, error)
                continue
            found += [[cell.get("VarCharValue", "") for cell in row.get("Data") or ()] for row in rows]
            if not page.get("NextToken"):
                break
            asked["NextToken"] = page["NextToken"]
        columns = list(self.question.columns)
        if not found or found[0] != columns or any(len(row) != len(columns) for row in found):
            raise FinderFailed("Athena's result isn't one of this query")
        return found[1:]

    def _wait(self, deadline: float, failure: AwsError | None) -> None:
        if self.clock() >= deadline:
            raise ScanTimeout from failure
        self.pause(min(self._next(), max(0.0, deadline - self.clock())))

    def _next(self) -> float:
        length = self._length
        self._length = min(length * _GROWTH, LONGEST_PAUSE)
        return length


def _words(state: str, reason: str) -> str:
    """What is known of a failure, in our own words."""
    if _OVER_LIMIT in reason.lower():
        return "the query would read more than its workgroup allows; ask for less time or fewer types"
    code = _CODE.match(reason)
    what = "was cancelled" if state == "CANCELLED" else "failed"
    return f"Athena's query {what}" + (f" ({code[1]})" if code else "")
