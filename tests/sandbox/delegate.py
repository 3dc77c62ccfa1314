"""What Athena does with its caller's rights: read tables of Glue and objects of S3, and write results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from moto.glue.exceptions import GlueClientError
from moto.glue.models import glue_backends
from moto.s3.models import FakeBucket

from tests.sandbox.athena_sql import BadQuery
from tests.sandbox.authorization import caller_context, may
from tests.sandbox.buckets import find_bucket
from tests.sandbox.callers import Caller
from tests.sandbox.calls import Call, Calls
from tests.sandbox.policies import Permission
from tests.sandbox.s3_actions import bucket_arn


class Denied(Exception):
    """The caller lacks a right that the service needs."""

    def __init__(self, permission: Permission) -> None:
        super().__init__(permission.action)
        self.permission = permission


@dataclass(frozen=True)
class Delegate:
    """Acts for `caller` in a region; each right that is asked for is kept among the calls once."""

    caller: Caller
    region: str
    calls: Calls
    asked: set[Permission]

    def require(self, action: str, resource: str, **keys: str) -> None:
        """Raise Denied where the caller may not; `keys` are condition keys of the action, as `s3_prefix`."""
        permission = Permission(action, resource)
        context = caller_context(self.caller, secure=True)
        context |= {name.replace("_", ":", 1): (value,) for name, value in keys.items()}
        context["aws:calledvia"] = ("athena.amazonaws.com",)
        permitted = may(self.caller, permission, context)
        if permission not in self.asked or not permitted:
            self.asked.add(permission)
            service, _, name = action.partition(":")
            outcome = "OK" if permitted else "AccessDenied"
            self.calls.add(Call(service, name, action, resource, self.caller.arn, outcome, "athena"))
        if not permitted:
            raise Denied(permission)

    def arn(self, service: str, rest: str) -> str:
        """An ARN in the caller's account and region."""
        return f"arn:{self.caller.partition}:{service}:{self.region}:{self.caller.account}:{rest}"

    def bucket_arn(self, rest: str) -> str:
        """The ARN of a bucket, or of a key in one."""
        return bucket_arn(self.caller.partition, rest)

    def table(self, database: str, name: str) -> dict[str, Any]:
        """A table's description in Glue; raises Denied and BadQuery."""
        for rest in ("catalog", f"database/{database}", f"table/{database}/{name}"):
            self.require("glue:GetTable", self.arn("glue", rest))
        backend = glue_backends[self.caller.account][self.region]
        try:
            backend.get_database(database)
        except GlueClientError:
            raise BadQuery(f"SCHEMA_NOT_FOUND: line 1:1: Schema '{database}' does not exist") from None
        try:
            found: dict[str, Any] = backend.get_table(database, name).as_dict()
        except GlueClientError:
            raise BadQuery(f"TABLE_NOT_FOUND: line 1:1: Table '{database}.{name}' does not exist") from None
        return found

    def bucket(self, name: str) -> FakeBucket:
        """A bucket that is read; raises BadQuery where there is none in the region."""
        bucket = find_bucket(name)
        if bucket is None:
            raise BadQuery(f"HIVE_FILESYSTEM_ERROR: The specified bucket does not exist: {name}")
        return bucket
