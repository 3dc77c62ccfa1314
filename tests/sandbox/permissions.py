"""Which actions on which ARNs a request needs, for every service."""

from __future__ import annotations

from collections.abc import Callable

from moto.athena.models import athena_backends

from tests.sandbox.asked import Asked
from tests.sandbox.policies import UNKNOWN, Permission
from tests.sandbox.s3_actions import s3_permissions

_MAY_COME_WITH_TAGS = frozenset({"CreateDatabase", "CreateWorkGroup"})


def needed_permissions(asked: Asked) -> list[Permission]:
    """All that the caller must be allowed; none where anybody may ask."""
    if asked.operation in ("GetCallerIdentity", "AssumeRoleWithWebIdentity"):
        return []
    partition = asked.caller.partition if asked.caller else "aws"
    if asked.service == "s3":
        return s3_permissions(asked, partition)
    resources = _RESOURCES[asked.service](asked) or [UNKNOWN]
    tags = asked.operation in _MAY_COME_WITH_TAGS and asked.params.get("Tags")
    operations = [asked.operation, "TagResource"] if tags else [asked.operation]
    return [Permission(f"{asked.service}:{each}", resource) for each in operations for resource in resources]


def _arn(asked: Asked, service: str, rest: str, *, region: bool = True) -> str:
    where = asked.region if region else ""
    partition, account = (asked.caller.partition, asked.caller.account) if asked.caller else ("aws", "unknown")
    return f"arn:{partition}:{service}:{where}:{account}:{rest}"


def _glue(asked: Asked) -> list[str]:
    given = asked.params
    database = given.get("DatabaseName") or (given.get("DatabaseInput") or {}).get("Name", "")
    table = given.get("TableName") or (given.get("TableInput") or {}).get("Name", "")
    if not database and asked.operation.endswith("Database"):
        database = given.get("Name", "")
    elif not table and asked.operation.endswith("Table"):
        table = given.get("Name", "")
    catalog = [_arn(asked, "glue", "catalog")]
    if not database:
        return catalog
    named = [*catalog, _arn(asked, "glue", f"database/{database}")]
    if asked.operation in ("GetTables", "DeleteDatabase"):
        table = "*"
    return [*named, _arn(asked, "glue", f"table/{database}/{table}")] if table else named


def _athena(asked: Asked) -> list[str]:
    if (execution := asked.text("QueryExecutionId")) and asked.caller is not None:
        found = athena_backends[asked.caller.account][asked.region].executions.get(execution)
        return [_arn(asked, "athena", f"workgroup/{found.workgroup.name}")] if found and found.workgroup else []
    named = {"GetWorkGroup", "CreateWorkGroup", "UpdateWorkGroup", "DeleteWorkGroup"}
    group = asked.text("Name") if asked.operation in named and "Name" in asked.params else asked.text("WorkGroup")
    if asked.operation == "StartQueryExecution" and not group:
        group = "primary"
    if group:
        return [_arn(asked, "athena", f"workgroup/{group}")]
    return [asked.text("ResourceARN")] if "ResourceARN" in asked.params else []


def _iam(asked: Asked) -> list[str]:
    for name in ("OpenIDConnectProviderArn", "PolicyArn"):
        if name in asked.params and "Role" not in asked.operation and "User" not in asked.operation:
            return [asked.text(name)]
    for name, kind in (("RoleName", "role"), ("UserName", "user"), ("GroupName", "group"), ("PolicyName", "policy")):
        if name in asked.params:
            return [_arn(asked, "iam", f"{kind}{asked.text('Path') or '/'}{asked.text(name)}", region=False)]
    if url := asked.text("Url"):
        return [_arn(asked, "iam", f"oidc-provider/{url.partition('://')[2]}", region=False)]
    return []


def _sts(asked: Asked) -> list[str]:
    return [asked.text("RoleArn")] if "RoleArn" in asked.params else []


def _kms(asked: Asked) -> list[str]:
    key = asked.text("KeyId")
    return [key if key.startswith("arn:") else _arn(asked, "kms", f"key/{key}")] if key else []


_RESOURCES: dict[str, Callable[[Asked], list[str]]] = {
    "glue": _glue,
    "athena": _athena,
    "iam": _iam,
    "sts": _sts,
    "kms": _kms,
}
