"""Athena's workgroups: settings changed, and refused where AWS refuses them. moto can't change any."""

from __future__ import annotations

from typing import Any

from moto.athena.models import athena_backends

from tests.sandbox.asked import Asked
from tests.sandbox.athena_queries import find_workgroup, invalid
from tests.sandbox.refusals import Answer, json_answer

_KEPT_AS_GIVEN = (
    "EnforceWorkGroupConfiguration",
    "PublishCloudWatchMetricsEnabled",
    "BytesScannedCutoffPerQuery",
    "RequesterPaysEnabled",
    "EngineVersion",
)
_RESULT_SETTINGS = ("OutputLocation", "EncryptionConfiguration", "ExpectedBucketOwner", "AclConfiguration")


def update_workgroup(asked: Asked) -> Answer:
    """UpdateWorkGroup."""
    group = find_workgroup(asked, asked.text("WorkGroup"))
    updates: dict[str, Any] = asked.params.get("ConfigurationUpdates") or {}
    configuration = group.configuration
    for name in _KEPT_AS_GIVEN:
        if name in updates:
            configuration[name] = updates[name]
    if updates.get("RemoveBytesScannedCutoffPerQuery"):
        configuration.pop("BytesScannedCutoffPerQuery", None)
    results = configuration.setdefault("ResultConfiguration", {})
    changes: dict[str, Any] = updates.get("ResultConfigurationUpdates") or {}
    for name in _RESULT_SETTINGS:
        if name in changes:
            results[name] = changes[name]
        if changes.get(f"Remove{name}"):
            results.pop(name, None)
    if "Description" in asked.params:
        group.description = asked.params["Description"]
    if asked.params.get("State"):
        group.state = asked.params["State"]
    return json_answer({})


def check_workgroup(asked: Asked) -> None:
    """Refuse what names a workgroup that isn't there, or makes one that is."""
    if asked.service != "athena" or asked.caller is None:
        return
    if asked.operation in ("GetWorkGroup", "DeleteWorkGroup"):
        find_workgroup(asked, asked.text("WorkGroup"))
    known = athena_backends[asked.caller.account][asked.region].work_groups
    if asked.operation == "CreateWorkGroup" and asked.text("Name") in known:
        raise invalid("WorkGroup is already created")
