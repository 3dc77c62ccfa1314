"""Workgroups of Athena: none of a name is an error, and what is named of one can be changed."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.running import Sandbox

RESULTS = {"OutputLocation": "s3://theirs/", "EncryptionConfiguration": {"EncryptionOption": "SSE_S3"}}


def test_a_workgroup_that_is_not_there_is_an_error(sandbox: Sandbox, moto: Sandbox) -> None:
    with pytest.raises(ClientError) as raised:
        sandbox.client("athena").get_work_group(WorkGroup="nobodys")
    assert raised.value.response["Error"]["Code"] == "InvalidRequestException"
    assert "WorkGroup" not in moto.client("athena").get_work_group(WorkGroup="nobodys")


def test_what_is_named_of_a_workgroup_is_changed(sandbox: Sandbox, moto: Sandbox) -> None:
    athena = sandbox.client("athena")
    given = {"ResultConfiguration": RESULTS, "BytesScannedCutoffPerQuery": 10_000_000}
    athena.create_work_group(Name="changed", Configuration=given)
    updates = {"ResultConfigurationUpdates": {"OutputLocation": "s3://ours/"}, "EnforceWorkGroupConfiguration": False}
    athena.update_work_group(WorkGroup="changed", State="DISABLED", ConfigurationUpdates=updates)
    found = athena.get_work_group(WorkGroup="changed")["WorkGroup"]
    assert (found["State"], found["Configuration"]["EnforceWorkGroupConfiguration"]) == ("DISABLED", False)
    assert found["Configuration"]["ResultConfiguration"] == RESULTS | {"OutputLocation": "s3://ours/"}
    assert found["Configuration"]["BytesScannedCutoffPerQuery"] == 10_000_000
    removals = {"RemoveBytesScannedCutoffPerQuery": True}
    removals_of_results = {"ResultConfigurationUpdates": {"RemoveEncryptionConfiguration": True}}
    athena.update_work_group(WorkGroup="changed", ConfigurationUpdates=removals | removals_of_results)
    configuration = athena.get_work_group(WorkGroup="changed")["WorkGroup"]["Configuration"]
    assert "BytesScannedCutoffPerQuery" not in configuration
    assert configuration["ResultConfiguration"] == {"OutputLocation": "s3://ours/"}
    moto.client("athena").create_work_group(Name="changed", Configuration={})
    with pytest.raises(ClientError):
        moto.client("athena").update_work_group(WorkGroup="changed", State="DISABLED")
