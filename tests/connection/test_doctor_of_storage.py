"""`extaudit doctor` looks at the external audit storage in force, and says what its role can't see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from extaudit_cli.main import run
from extaudit_client import Client
from extaudit_client.files import find_connection

from server.audit_log.switch import JournalSwitch
from server.lifecycle import App
from tests.account_under_test import Account, blocks


async def went(_switch: JournalSwitch, _storage_id: str) -> None:
    """Stands in for the delivery to the account, which these checks are not about."""


def examined(data_dir: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    capfd.readouterr()
    code = run(["doctor", "--check", "external_storage", "--output", "json", "--data-dir", str(data_dir)])
    [check] = json.loads(capfd.readouterr().out)["checks"]
    return code, check


def test_the_storage_in_force_is_tested_and_drift_told(
    served: tuple[App, Account], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTAUDIT_PROFILE", "none")
    monkeypatch.setattr(JournalSwitch, "problem", lambda _: "")
    monkeypatch.setattr(JournalSwitch, "to", went)
    app, account = served
    data_dir, s3 = app.config.data_dir, account.admin("s3")
    code, before = examined(data_dir, capfd)
    assert (code, before["findings"]) == (0, [])
    assert before["facts"] == {"storage in force": "default"}
    with Client(find_connection({}, data_dir)) as client:
        *_, end = client.storages.test()
        assert end.test.passed
        cluster = client.storages.promote(client.storages.draft().revision)
        try:
            code, well = examined(data_dir, capfd)
            s3.put_bucket_versioning(Bucket=account.transient, VersioningConfiguration={"Status": "Suspended"})
            s3.delete_public_access_block(Bucket=account.transient)
            bad, drifted = examined(data_dir, capfd)
            policy = account.policy
            policy["Statement"][2]["Action"].remove("glue:GetTable")
            account.put_policy(policy)
            _, blind = examined(data_dir, capfd)
        finally:
            account.put_policy(account.policy)
            client.storages.disable(cluster.revision)
            client.storages.create(cluster.spec, cluster.options)  # as it was
            s3.put_bucket_versioning(Bucket=account.transient, VersioningConfiguration={"Status": "Enabled"})
            s3.put_public_access_block(Bucket=account.transient, PublicAccessBlockConfiguration=blocks())
    facts = well["facts"]
    assert (code, well["findings"], facts["storage in force"]) == (0, [], cluster.storage_id)
    assert "bootstrap --stage cluster --dry-run" in facts["not looked at"]
    found = {(each["name"], each["subject"].split()[0]) for each in drifted["findings"]}
    assert bad == 1
    assert found == {("storage_check_failed", "bucket.public-access"), ("storage_drifted", "bucket.versioning")}
    assert all(each["remedy"] for each in drifted["findings"])
    assert "checks that could not be made" not in facts | drifted["facts"]
    assert int(blind["facts"]["checks that could not be made"]) > 10
