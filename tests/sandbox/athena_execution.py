"""One query of Athena, from QUEUED to its end."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
from moto.athena.models import WorkGroup

from tests.sandbox import athena_results
from tests.sandbox.athena_results import Results
from tests.sandbox.athena_sql import MACROS, BadQuery, read_query, to_duckdb, with_parameters
from tests.sandbox.athena_tables import Tables
from tests.sandbox.buckets import find_bucket, put_object
from tests.sandbox.delegate import Delegate, Denied
from tests.sandbox.encryption import require_key
from tests.sandbox.faults import Faults
from tests.sandbox.refusals import Refused

QUERY = "athena:Query"
"""The action by which a fault makes a query fail that was begun."""


@dataclass
class Execution:
    """A query that was asked for. Times are seconds since 1970."""

    sql: str
    parameters: list[str]
    database: str
    workgroup: WorkGroup
    output: str
    """Folder of the results, as s3://…/"""
    encryption: dict[str, str]
    delegate: Delegate
    given: dict[str, Any]
    """The request, to be shown again."""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    state: str = "QUEUED"
    reason: str = ""
    results: Results | None = None
    bytes_scanned: int = 0
    submitted: float = field(default_factory=time.time)
    ended: float = 0.0
    stopped: threading.Event = field(default_factory=threading.Event)
    database_in_use: duckdb.DuckDBPyConnection | None = None

    @property
    def url(self) -> str:
        """Where the CSV file is."""
        return f"{self.output}{self.id}.csv"

    def run(self, lock: threading.Lock, faults: Faults) -> None:
        """Work the query out; afterwards its state is final. `lock` is held while moto's objects are touched."""
        if self.stopped.is_set():
            return
        self.state = "RUNNING"
        try:
            faults.raise_for({QUERY})
            with TemporaryDirectory() as folder, duckdb.connect(":memory:") as database:
                self.database_in_use = database
                results = self._work(database, Path(folder), lock)
                self.database_in_use = None
            self._store(results, lock)
        except Exception as error:
            self._end(*_failure(error))
        else:
            self.results = results
            self._end("SUCCEEDED", "")

    def stop(self) -> None:
        """Cancel it, where it hasn't ended."""
        self.stopped.set()
        if (database := self.database_in_use) is not None:
            database.interrupt()
        self._end("CANCELLED", "Query cancelled by user")

    def _work(self, database: duckdb.DuckDBPyConnection, folder: Path, lock: threading.Lock) -> Results:
        database.execute(f"SET TimeZone = 'UTC'; SET threads = 1; {MACROS}")
        tree = read_query(with_parameters(self.sql, self.parameters))
        tables = Tables(database, folder, self.delegate, lock)
        try:
            tables.bind(tree, self.database)
        finally:
            self.bytes_scanned = tables.bytes_scanned
        most = self.workgroup.configuration.get("BytesScannedCutoffPerQuery")
        if most is not None and self.bytes_scanned > int(most):
            raise OverLimit
        return athena_results.run(database, to_duckdb(tree))

    def _store(self, results: Results, lock: threading.Lock) -> None:
        name, _, key = self.url.removeprefix("s3://").partition("/")
        try:
            for suffix in ("", ".metadata"):
                self.delegate.require("s3:PutObject", self.delegate.bucket_arn(f"{name}/{key}{suffix}"))
            kms_key = self.encryption.get("KmsKey", "")
            with lock:
                bucket = find_bucket(name)
                if bucket is None:
                    raise BadQuery(f"The S3 bucket of the results does not exist: {name}")
                require_key(self.delegate, bucket, self.encryption.get("EncryptionOption", ""), kms_key)
                option = {"SSE_KMS": "aws:kms", "SSE_S3": "AES256"}.get(self.encryption.get("EncryptionOption", ""), "")
                put_object(bucket, key, results.csv(), option, kms_key)
                put_object(bucket, f"{key}.metadata", b"", option, kms_key)
        except Denied:
            raise BadQuery(
                f"Access denied when writing output to url: {self.url} . Please ensure you are allowed to access the "
                "S3 bucket. If you are encrypting query results with KMS key, please ensure you are allowed to access "
                "your KMS key"
            ) from None

    def _end(self, state: str, reason: str) -> None:
        if self.state in ("QUEUED", "RUNNING"):
            self.state, self.reason, self.ended = state, reason, time.time()


class OverLimit(Exception):
    """The query would read more than its workgroup allows."""


def _failure(error: Exception) -> tuple[str, str]:
    if isinstance(error, OverLimit):
        return "CANCELLED", "Bytes scanned limit was exceeded"
    return "FAILED", _reason(error)


def _reason(error: Exception) -> str:
    match error:
        case BadQuery(reason=reason):
            return reason
        case Denied(permission=permission) if permission.action.startswith("s3:"):
            path = permission.resource.rpartition(":::")[2]
            return f"PERMISSION_DENIED: Permission denied on S3 path: s3://{path}"
        case Denied(permission=permission):
            return (
                "Insufficient permissions to execute the query. The caller is not authorized to perform: "
                f"{permission.action} on resource: {permission.resource}"
            )
        case Refused(code=code, message=message):
            return f"{code}: {message}"
    text = str(error).partition("\n")[0]
    if isinstance(error, duckdb.BinderException) and "not found" in text.lower():
        return f"COLUMN_NOT_FOUND: line 1:1: {text}"
    if isinstance(error, duckdb.BinderException | duckdb.ConversionException):
        return f"TYPE_MISMATCH: line 1:1: {text}"
    return f"GENERIC_USER_ERROR: {text}"
