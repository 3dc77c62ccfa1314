"""Workgroups of Athena, where moto answers otherwise than AWS: none of a name is an error, and they can be changed."""

from __future__ import annotations

from typing import Any

from moto.athena.models import WorkGroup, athena_backends

from tests.sandbox.asked import Asked
from tests.sandbox.refusals import Answer, Refused, json_answer

_REPLACED = ("EnforceWorkGroupConfiguration", "BytesScannedCutoffPerQuery", "PublishCloudWatchMetricsEnabled")
_RESULTS = ("OutputLocation", "EncryptionConfiguration", "ExpectedBucketOwner")


def get_work_group(asked: Asked) -> Answer:
    """What there is of a workgroup."""
    group = _group(asked)
    found = {"Name": group.name, "State": group.state, "Configuration": group.configuration}
    return json_answer({"WorkGroup": found | {"Description": group.description or ""}})


def update_work_group(asked: Asked) -> Answer:
    """Change what is named, and leave the rest."""
    group = _group(asked)
    updates: dict[str, Any] = asked.params.get("ConfigurationUpdates") or {}
    configuration = group.configuration
    configuration.update({name: updates[name] for name in _REPLACED if name in updates})
    if updates.get("RemoveBytesScannedCutoffPerQuery"):
        configuration.pop("BytesScannedCutoffPerQuery", None)
    results = configuration.setdefault("ResultConfiguration", {})
    changes: dict[str, Any] = updates.get("ResultConfigurationUpdates") or {}
    for name in _RESULTS:
        if changes.get(f"Remove{name}"):
            results.pop(name, None)
        elif name in changes:
            results[name] = changes[name]
    group.state = asked.params.get("State", group.state)
    group.description = asked.params.get("Description", group.description)
    return json_answer({})


def _group(asked: Asked) -> WorkGroup:
    assert asked.caller is not None
    name = asked.text("WorkGroup")
    group = athena_backends[asked.caller.account][asked.region].work_groups.get(name)
    if group is None:
        raise Refused("InvalidRequestException", f"WorkGroup {name} is not found.")
    return group
