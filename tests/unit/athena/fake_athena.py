"""Athena's three calls, answered as a test says, on a clock that only waiting moves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from server.storage.aws.athena.query import Question
from server.storage.aws.clients import ServiceClient
from server.storage.aws.errors import AwsError, Kind

COLUMNS = ("a", "b")
THROTTLED = AwsError("athena:X", Kind.THROTTLED, "ThrottlingException")
DENIED = AwsError("athena:X", Kind.DENIED, "AccessDeniedException")


@dataclass
class FakeClock:
    """Monotonic seconds; `pause` moves them, and remembers how long each was."""

    now: float = 1000.0
    pauses: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@dataclass
class FakeAthena:
    """Counts what is called. `states` are told one after the other, the last one from then on."""

    states: list[str | AwsError] = field(default_factory=lambda: ["SUCCEEDED"])
    rows: list[list[str | None]] = field(default_factory=list)
    start_errors: list[AwsError] = field(default_factory=list)
    result_errors: list[AwsError] = field(default_factory=list)
    reason: str = ""
    header: tuple[str, ...] = COLUMNS
    bytes: int = 7
    page: int = 1000
    started: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    on_state: Callable[[], None] = lambda: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start_query_execution(self, **given: Any) -> dict[str, str]:
        self.calls.append("start")
        self.started.append(given)
        if self.start_errors:
            raise self.start_errors.pop(0)
        return {"QueryExecutionId": f"q{len(self.started)}"}

    def get_query_execution(self, **_: Any) -> dict[str, Any]:
        self.calls.append("state")
        self.on_state()
        with self.lock:
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, AwsError):
            raise state
        status = {"State": state, "StateChangeReason": self.reason}
        return {"QueryExecution": {"Status": status, "Statistics": {"DataScannedInBytes": self.bytes}}}

    def get_query_results(self, **asked: Any) -> dict[str, Any]:
        self.calls.append("results")
        if self.result_errors:
            raise self.result_errors.pop(0)
        rows = [list(self.header), *self.rows]
        begin = int(asked.get("NextToken", 0))
        shown = [
            {"Data": [{} if text is None else {"VarCharValue": text} for text in row]}
            for row in rows[begin : begin + self.page]
        ]
        more = {"NextToken": str(begin + self.page)} if begin + self.page < len(rows) else {}
        return {"ResultSet": {"Rows": shown}, **more}

    def question(self, sql: str = "SELECT 1", parameters: tuple[str, ...] = ()) -> Question:
        """A question for this Athena."""
        client = cast(ServiceClient, self)
        return Question(sql, parameters, COLUMNS, client, "group", "db", "s3://results/x", "123456789012")
