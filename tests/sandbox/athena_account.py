"""A table of events, its files and a workgroup, for tests of the sandbox's Athena."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.polling import until
from tests.sandbox.refusing import make_bucket
from tests.sandbox.running import Sandbox

COLUMNS = ("uid", "session_id", "event_type", "event_time", "event_data", "user")


def table_input(bucket: str, name: str = "events", **projection: str) -> dict[str, Any]:
    """As Teleport has it; `projection` changes parameters, named by what comes after `projection.event_date.`."""
    settings = {
        "type": "date",
        "format": "yyyy-MM-dd",
        "interval": "1",
        "interval.unit": "DAYS",
        "range": "NOW-4YEARS,NOW",
        **projection,
    }
    return {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "StorageDescriptor": {
            "Location": f"s3://{bucket}/events",
            "Columns": [{"Name": each, "Type": "timestamp" if each == "event_time" else "string"} for each in COLUMNS],
        },
        "PartitionKeys": [{"Name": "event_date", "Type": "date"}],
        "Parameters": {
            "projection.enabled": "true",
            "storage.location.template": f"s3://{bucket}/events/${{event_date}}/",
            **{f"projection.event_date.{key}": value for key, value in settings.items()},
        },
    }


def parquet(*rows: tuple[str, str]) -> bytes:
    """A file of events, given by uid and JSON."""
    count = len(rows)
    columns = {
        "uid": pa.array([uid for uid, _ in rows]),
        "session_id": pa.array([""] * count),
        "event_type": pa.array(["user.login"] * count),
        "event_time": pa.array([datetime(2026, 1, 1, 0, 0, 0, 123456)] * count, pa.timestamp("us")),
        "event_data": pa.array([data for _, data in rows]),
        "user": pa.array(["alice"] * count),
    }
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


@dataclass(frozen=True)
class AthenaAccount:
    """Names in one sandbox. `today` has two events, `yesterday` one."""

    sandbox: Sandbox
    name: str
    today: date

    @property
    def long_term(self) -> str:
        return f"{self.name}-long-term"

    @property
    def transient(self) -> str:
        return f"{self.name}-transient"

    def start(self, sql: str, *parameters: str, athena: Any = None, **more: Any) -> str:
        """The id of a new query."""
        given = {"WorkGroup": self.name, "QueryExecutionContext": {"Database": self.name}, **more}
        given |= {"ExecutionParameters": list(parameters)} if parameters else {}
        client = athena or self.sandbox.client("athena")
        return str(client.start_query_execution(QueryString=sql, **given)["QueryExecutionId"])

    def ended(self, query: str, athena: Any = None) -> dict[str, Any]:
        """The query, once it has ended."""
        client = athena or self.sandbox.client("athena")

        found: dict[str, Any] = {}

        def has_ended() -> bool:
            found.update(client.get_query_execution(QueryExecutionId=query)["QueryExecution"])
            return found["Status"]["State"] not in ("QUEUED", "RUNNING")

        until(has_ended)
        return found

    def failure(self, sql: str, *parameters: str, **more: Any) -> str:
        """Why the query fails."""
        status = self.ended(self.start(sql, *parameters, **more))["Status"]
        assert status["State"] == "FAILED", status
        return str(status["StateChangeReason"])

    def rows(self, sql: str, *parameters: str, **more: Any) -> list[list[str | None]]:
        """All rows after the header."""
        query = self.start(sql, *parameters, **more)
        status = self.ended(query)["Status"]
        assert status["State"] == "SUCCEEDED", status
        answer = self.sandbox.client("athena").get_query_results(QueryExecutionId=query)
        return [[each.get("VarCharValue") for each in row["Data"]] for row in answer["ResultSet"]["Rows"]][1:]


def make_account(sandbox: Sandbox, name: str) -> AthenaAccount:
    """Buckets, table, workgroup and two days of events."""
    account = AthenaAccount(sandbox, name, datetime.now(UTC).date())
    make_bucket(sandbox, account.long_term)
    make_bucket(sandbox, account.transient)
    s3, glue = sandbox.client("s3"), sandbox.client("glue")
    glue.create_database(DatabaseInput={"Name": name})
    glue.create_table(DatabaseName=name, TableInput=table_input(account.long_term))
    output = {"OutputLocation": f"s3://{account.transient}/query_results"}
    sandbox.client("athena").create_work_group(Name=name, Configuration={"ResultConfiguration": output})
    for back, body in ((0, parquet(("u1", '{"a": {"b": 1}}'), ("u2", '{"a": "it\'s"}'))), (1, parquet(("u3", "{}")))):
        day = date.fromordinal(account.today.toordinal() - back)
        s3.put_object(Bucket=account.long_term, Key=f"events/{day}/1.parquet", Body=body)
    return account
