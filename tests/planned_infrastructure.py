"""Plans as the service makes them, as the client gives them."""

from __future__ import annotations

import enum
from typing import Any

from extaudit.v1 import external_audit_storage_pb2, infrastructure_pb2
from extaudit_client import InfrastructurePlan
from extaudit_client.infrastructure import plan_from

from server.external_storage.planning import infrastructure_plan
from server.integrations.integration import RoleArn
from server.storage.spec import StorageOptions, StorageSpec


def spec(unique: str, region: str = "us-west-2") -> StorageSpec:
    """A spec whose names nobody else in the account has."""
    return StorageSpec(
        integration_name="acme",
        region=region,
        session_recordings_uri=f"s3://longterm-{unique}/sessions",
        audit_events_long_term_uri=f"s3://longterm-{unique}/events",
        athena_results_uri=f"s3://transient-{unique}/query_results",
        athena_workgroup=f"events_{unique}",
        glue_database=f"events_{unique.replace('-', '_')}",
        glue_table="audit_events",
        policy_name=f"storage-{unique}",
    )


def plan(spec: StorageSpec, options: StorageOptions | None = None, partition: str = "aws") -> InfrastructurePlan:
    """The plan for a role `extaudit-acme` of the sandbox's account."""
    role = RoleArn(partition, "123456789012", "/", "extaudit-acme")
    return _client_plan(infrastructure_plan(spec, options or StorageOptions(), role, "demo"))


def _client_plan(planned: object) -> InfrastructurePlan:
    """As it comes over the wire: the names of fields are the same."""
    message = infrastructure_pb2.InfrastructurePlan()
    _fill(message, planned)
    return plan_from(message, "1")


def _fill(message: Any, planned: Any) -> None:
    for name in planned.__slots__:
        value = getattr(planned, name)
        if isinstance(value, enum.Enum):
            setattr(message, name, getattr(external_audit_storage_pb2, f"OBJECT_LOCK_MODE_{value.value}"))
        elif hasattr(value, "__slots__"):
            _fill(getattr(message, name), value)
        elif isinstance(value, tuple):
            for each in value:
                _add(getattr(message, name), each)
        else:
            setattr(message, name, value)


def _add(repeated: Any, value: Any) -> None:
    if isinstance(value, str):
        repeated.append(value)
    elif isinstance(value, tuple):
        added = repeated.add(value=value[1])
        setattr(added, added.DESCRIPTOR.fields[0].name, value[0])
    else:
        _fill(repeated.add(), value)
