"""The Athena workgroup of the plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from extaudit_client import WorkgroupPlan

from extaudit_cli.aws.admin import Admin
from extaudit_cli.aws.problems import AwsRefusal
from extaudit_cli.bootstrap.rows import Value
from extaudit_cli.bootstrap.things import Attribute, Found, State, compared, compared_tags

_NO_SUCH: Final = "InvalidRequestException"
"""What Athena says of a workgroup that isn't there; its name is right, since the service checked it."""


class Workgroup:
    """A workgroup that lets no query choose where results go, nor scan more than the limit."""

    name = "workgroup"
    within = ""

    def __init__(self, admin: Admin, plan: WorkgroupPlan, arn: str) -> None:
        self._admin = admin
        self._plan = plan
        self._arn = arn

    @property
    def subject(self) -> str:
        """Its name."""
        return self._plan.name

    @property
    def planned(self) -> Mapping[str, Value]:
        """Every attribute."""
        key = self._plan.kms_key_arn
        return {
            "state": "ENABLED",
            "output-location": self._plan.output_location,
            "enforced": self._plan.enforce_configuration,
            "scan-limit": self._plan.scan_limit_bytes,
            "encryption": {"option": "SSE_KMS", "key": key} if key else {"option": "SSE_S3"},
            "tags": self._tags,
        }

    def look(self) -> Found | None:
        """Compare with its configuration and tags."""
        answer = self._admin.find("athena", "get_work_group", _NO_SUCH, WorkGroup=self.subject)
        found = (answer or {}).get("WorkGroup")
        if not found:
            return None
        configuration = found.get("Configuration", {})
        results = configuration.get("ResultConfiguration", {})
        encryption = results.get("EncryptionConfiguration")
        seen: dict[str, Value] = {
            "state": found.get("State"),
            "output-location": _same_place(self._plan.output_location, results.get("OutputLocation")),
            "enforced": configuration.get("EnforceWorkGroupConfiguration", False),
            "scan-limit": configuration.get("BytesScannedCutoffPerQuery"),
            "encryption": encryption and _encryption(encryption),
        }
        attributes = [compared(name, self.planned[name], value) for name, value in seen.items()]
        return Found((*attributes, self._look_tags()))

    def create(self) -> None:
        """Make it with everything."""
        results = {"OutputLocation": self._plan.output_location, "EncryptionConfiguration": self._encryption}
        configuration = {
            "ResultConfiguration": results,
            "EnforceWorkGroupConfiguration": self._plan.enforce_configuration,
            "BytesScannedCutoffPerQuery": self._plan.scan_limit_bytes,
        }
        tags = [{"Key": key, "Value": value} for key, value in self._tags.items()]
        try:
            self._admin.call("athena", "create_work_group", Name=self.subject, Configuration=configuration, Tags=tags)
        except AwsRefusal as refusal:
            refusal.also_needs("athena:TagResource")
            raise

    def change(self, attribute: Attribute) -> None:
        """Change one attribute; Athena leaves what isn't named."""
        if attribute.name == "tags":
            tags = [{"Key": key, "Value": value} for key, value in self._tags.items()]
            self._admin.call("athena", "tag_resource", ResourceARN=self._arn, Tags=tags)
            return
        changes: dict[str, dict[str, Any]] = {
            "state": {"State": "ENABLED"},
            "output-location": _results({"OutputLocation": self._plan.output_location}),
            "enforced": _changed({"EnforceWorkGroupConfiguration": self._plan.enforce_configuration}),
            "scan-limit": _changed({"BytesScannedCutoffPerQuery": self._plan.scan_limit_bytes}),
            "encryption": _results({"EncryptionConfiguration": self._encryption}),
        }
        self._admin.call("athena", "update_work_group", WorkGroup=self.subject, **changes[attribute.name])

    @property
    def _tags(self) -> dict[str, str]:
        return {tag.key: tag.value for tag in self._plan.tags}

    @property
    def _encryption(self) -> dict[str, str]:
        key = self._plan.kms_key_arn
        return {"EncryptionOption": "SSE_KMS", "KmsKey": key} if key else {"EncryptionOption": "SSE_S3"}

    def _look_tags(self) -> Attribute:
        try:
            answer = self._admin.call("athena", "list_tags_for_resource", ResourceARN=self._arn)
        except AwsRefusal as refusal:
            return Attribute("tags", State.UNKNOWN, self._tags, problem=refusal)
        return compared_tags(self._tags, {each["Key"]: each["Value"] for each in answer.get("Tags", [])})


def _changed(configuration: dict[str, Any]) -> dict[str, Any]:
    return {"ConfigurationUpdates": configuration}


def _results(configuration: dict[str, Any]) -> dict[str, Any]:
    return _changed({"ResultConfigurationUpdates": configuration})


def _encryption(found: Mapping[str, str]) -> dict[str, str]:
    key = found.get("KmsKey")
    return {"option": found["EncryptionOption"]} | ({"key": key} if key else {})


def _same_place(planned: str, found: str | None) -> str | None:
    """The location found, as planned where the two differ by a last slash alone."""
    return planned if found is not None and found.rstrip("/") == planned.rstrip("/") else found
