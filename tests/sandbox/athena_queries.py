"""Athena's queries: begun, asked about, read page by page, stopped. moto runs none and knows no SQL."""

from __future__ import annotations

import threading
from typing import Any

from moto.athena.models import WorkGroup, athena_backends

from tests.sandbox.asked import Asked
from tests.sandbox.athena_execution import Execution
from tests.sandbox.athena_sql import BadQuery, check_parameter, read_query
from tests.sandbox.buckets import find_bucket
from tests.sandbox.calls import Calls
from tests.sandbox.delegate import Delegate, Denied
from tests.sandbox.encryption import require_readable
from tests.sandbox.faults import Faults
from tests.sandbox.refusals import Answer, Refused, json_answer, unauthorised

_MOST_SQL = 262_144
_MOST_ROWS = 1000


def invalid(message: str) -> Refused:
    """The error that Athena has for nearly everything."""
    return Refused("InvalidRequestException", message)


class Queries:
    """Answers for queries. `lock` is held while moto's objects are touched."""

    def __init__(self, calls: Calls, faults: Faults, lock: threading.Lock) -> None:
        self._calls = calls
        self._faults = faults
        self._lock = lock
        self._by_token: dict[tuple[str, str, str], Execution] = {}
        self._may_run = threading.Event()
        self._may_run.set()

    def hold(self, held: bool) -> None:
        """Leave queries QUEUED from now on, or let them all go."""
        (self._may_run.clear if held else self._may_run.set)()

    def start(self, asked: Asked) -> Answer:
        """StartQueryExecution."""
        assert asked.caller is not None
        given = asked.params
        token = (asked.caller.account, asked.region, asked.text("ClientRequestToken"))
        if not 32 <= len(token[2]) <= 128:
            raise invalid("ClientRequestToken must have 32 to 128 characters")
        with self._lock:
            known = self._by_token.get(token)
        if known is not None:
            if known.given != given:
                raise invalid("Idempotent parameters do not match")
            return json_answer({"QueryExecutionId": known.id})
        execution = self._execution(asked)
        with self._lock:
            self._by_token[token] = execution
            athena_backends[asked.caller.account][asked.region].executions[execution.id] = execution
        threading.Thread(target=self._run, args=(execution,), daemon=True).start()
        return json_answer({"QueryExecutionId": execution.id})

    def get(self, asked: Asked) -> Answer:
        """GetQueryExecution."""
        return json_answer({"QueryExecution": _shown(self._found(asked))})

    def results(self, asked: Asked) -> Answer:
        """GetQueryResults."""
        execution = self._found(asked)
        if execution.state in ("QUEUED", "RUNNING"):
            raise invalid(f"Query has not yet finished. Current state: {execution.state}")
        if execution.results is None:
            raise invalid(f"Query did not finish successfully. Final query state: {execution.state}")
        self._require_readable(asked, execution)
        count = asked.params.get("MaxResults", _MOST_ROWS)
        if not isinstance(count, int) or not 1 <= count <= _MOST_ROWS:
            raise invalid(f"MaxResults is more than maximum allowed length {_MOST_ROWS}.")
        begin = asked.text("NextToken") or "0"
        if not begin.isascii() or not begin.isdigit() or int(begin) > len(execution.results.rows):
            raise invalid("The token is malformed.")
        rows, after = execution.results.page(int(begin), count)
        found: dict[str, Any] = {
            "UpdateCount": 0,
            "ResultSet": {"Rows": rows, "ResultSetMetadata": {"ColumnInfo": execution.results.column_info()}},
        }
        return json_answer(found | ({"NextToken": str(after)} if after else {}))

    def stop(self, asked: Asked) -> Answer:
        """StopQueryExecution."""
        self._found(asked).stop()
        return json_answer({})

    def _run(self, execution: Execution) -> None:
        while not self._may_run.wait(0.05):
            if execution.stopped.is_set():
                return
        execution.run(self._lock, self._faults)

    def _found(self, asked: Asked) -> Execution:
        assert asked.caller is not None
        found = athena_backends[asked.caller.account][asked.region].executions.get(asked.text("QueryExecutionId"))
        if not isinstance(found, Execution):
            raise invalid(f"QueryExecution {asked.text('QueryExecutionId')} was not found")
        return found

    def _execution(self, asked: Asked) -> Execution:
        assert asked.caller is not None
        given = asked.params
        sql = asked.text("QueryString")
        if not 1 <= len(sql) <= _MOST_SQL:
            raise invalid(f"QueryString must have 1 to {_MOST_SQL} characters")
        group = find_workgroup(asked, asked.text("WorkGroup") or "primary")
        if group.state != "ENABLED":
            raise invalid(f"WorkGroup {group.name} is disabled")
        output, encryption, owner = _output(group, given.get("ResultConfiguration") or {})
        delegate = Delegate(asked.caller, asked.region, self._calls, set())
        _check_output(delegate, output, owner)
        parameters = given.get("ExecutionParameters") or []
        try:
            for text in parameters:
                check_parameter(text)
            read_query(sql)
        except BadQuery as error:
            if error.at_once:
                raise invalid(error.reason) from None
        context = given.get("QueryExecutionContext") or {}
        return Execution(sql, parameters, context.get("Database", ""), group, output, encryption, delegate, dict(given))

    def _require_readable(self, asked: Asked, execution: Execution) -> None:
        assert asked.caller is not None
        reader = Delegate(asked.caller, asked.region, self._calls, set())
        name, _, key = execution.url.removeprefix("s3://").partition("/")
        try:
            reader.require("s3:GetObject", reader.bucket_arn(f"{name}/{key}"))
            if (bucket := find_bucket(name)) is not None:
                require_readable(reader, bucket, key)
        except Denied:
            message = f"Access denied when reading the results of the query from {execution.url}"
            raise unauthorised("AccessDenied", message, "athena") from None


def find_workgroup(asked: Asked, name: str) -> WorkGroup:
    """The workgroup of this name in the caller's account and region; raises Refused."""
    assert asked.caller is not None
    group = athena_backends[asked.caller.account][asked.region].work_groups.get(name)
    if group is None:
        raise invalid(f"WorkGroup {name} is not found.")
    return group


def _output(group: WorkGroup, given: dict[str, Any]) -> tuple[str, dict[str, str], str]:
    """Where results go, with which encryption, in whose bucket: the workgroup's, where it enforces what it has."""
    own = group.configuration.get("ResultConfiguration") or {}
    enforced = bool(group.configuration.get("EnforceWorkGroupConfiguration")) and bool(own.get("OutputLocation"))
    chosen = own if enforced or not given.get("OutputLocation") else given
    location = str(chosen.get("OutputLocation") or "")
    if not location:
        raise invalid(
            "No output location provided. An output location is required either through the Workgroup result "
            "configuration setting or as an API input."
        )
    if not location.startswith("s3://"):
        raise invalid("outputLocation is not a valid S3 path.")
    encryption = chosen.get("EncryptionConfiguration") or {}
    return location.rstrip("/") + "/", encryption, str(chosen.get("ExpectedBucketOwner") or "")


def _check_output(delegate: Delegate, output: str, owner: str) -> None:
    name = output.removeprefix("s3://").partition("/")[0]
    bucket = find_bucket(name)
    try:
        delegate.require("s3:GetBucketLocation", delegate.bucket_arn(name))
    except Denied:
        bucket = None
    if bucket is None or (owner and owner != bucket.account_id):
        raise invalid(f"Unable to verify/create output bucket {name}")
    if bucket.region_name != delegate.region:
        raise invalid("The S3 location provided to save your query results is invalid: it's in another region.")


def _shown(execution: Execution) -> dict[str, Any]:
    status: dict[str, Any] = {"State": execution.state, "SubmissionDateTime": execution.submitted}
    if execution.ended:
        status["CompletionDateTime"] = execution.ended
    if execution.reason:
        status["StateChangeReason"] = execution.reason
    if execution.state == "FAILED":
        status["AthenaError"] = {"ErrorCategory": 2, "ErrorMessage": execution.reason, "Retryable": False}
    took = int(((execution.ended or execution.submitted) - execution.submitted) * 1000)
    found: dict[str, Any] = {
        "QueryExecutionId": execution.id,
        "Query": execution.sql,
        "StatementType": "DML",
        "WorkGroup": execution.workgroup.name,
        "ResultConfiguration": {"OutputLocation": execution.url},
        "QueryExecutionContext": execution.given.get("QueryExecutionContext") or {},
        "EngineVersion": execution.workgroup.configuration["EngineVersion"],
        "Status": status,
        "Statistics": {
            "DataScannedInBytes": execution.bytes_scanned,
            "EngineExecutionTimeInMillis": took,
            "TotalExecutionTimeInMillis": took,
            "QueryQueueTimeInMillis": 0,
            "ServiceProcessingTimeInMillis": 0,
        },
    }
    if execution.encryption:
        found["ResultConfiguration"]["EncryptionConfiguration"] = execution.encryption
    return found | ({"ExecutionParameters": execution.parameters} if execution.parameters else {})
