"""`extaudit storage bootstrap` through a service and against the sandbox, with credentials as AWS's tools find them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from extaudit_cli.main import run

from tests.running_server import RunningServer, running_server
from tests.sandbox.running import Sandbox, running_sandbox

ROLE = "extaudit-acme"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as running:
        nobody = json.dumps({"Version": "2012-10-17", "Statement": []})
        running.client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument=nobody)
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Iterator[RunningServer]:
    """With an integration and a draft."""
    with running_server(tmp_path_factory.mktemp("server")) as running:
        with running.client() as client:
            client.integrations.create("acme", f"arn:aws:iam::{sandbox.account_id}:role/{ROLE}")
            client.storages.generate("acme", "us-west-2")
        yield running


@pytest.fixture(scope="module")
def credentials(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of the administrator, and of somebody in another account."""
    file = tmp_path_factory.mktemp("aws") / "credentials"
    other = sandbox.other_account("999999999999")
    file.write_text(
        f"[default]\naws_access_key_id={sandbox.admin_access_key}\naws_secret_access_key={sandbox.admin_secret_key}\n"
        f"[other]\naws_access_key_id={other['AccessKeyId']}\naws_secret_access_key={other['SecretAccessKey']}\n"
    )
    return file


@pytest.fixture
def bootstrap(
    server: RunningServer,
    sandbox: Sandbox,
    credentials: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Any:
    """Run the command; gives its exit code and what it prints."""
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", sandbox.endpoint)
    monkeypatch.setenv("EXTAUDIT_PROFILE", "none")

    def call(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run(["storage", "bootstrap", *arguments, "--data-dir", str(server.data_dir)])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_dry_run_then_a_run_then_nothing_to_do(bootstrap: Any, sandbox: Sandbox) -> None:
    code, out, err = bootstrap("--dry-run")
    assert (code, err) == (1, "")
    assert "would create  long-term-bucket" in out
    assert out.splitlines()[-1].startswith("Not all is as planned; nothing was changed: 6 would create")
    code, out, _ = bootstrap()
    assert code == 0
    assert out.splitlines()[0].startswith(
        f"Building the plan of the draft: account {sandbox.account_id}, us-west-2, as "
    )
    assert [line.split()[1] for line in out.splitlines() if line.startswith("created")] == [
        "long-term-bucket",
        "transient-bucket",
        "workgroup",
        "glue-database",
        "glue-table",
        "role-policy",
    ]
    sandbox.clear_calls()
    code, out, _ = bootstrap()
    assert code == 0
    assert "All is as planned, and nothing was changed: 46 equal" in out
    assert {
        call.operation for call in sandbox.calls() if not call.operation.startswith(("Get", "Head", "List"))
    } == set()


def test_its_output_is_evidence_of_what_differs(bootstrap: Any, sandbox: Sandbox) -> None:
    bootstrap()
    rows = {row["name"]: row for row in json.loads(bootstrap("--output", "json")[1])["rows"]}
    group = rows["workgroup"]["subject"]
    limited = {"BytesScannedCutoffPerQuery": 10_000_000}
    sandbox.client("athena").update_work_group(WorkGroup=group, ConfigurationUpdates=limited)
    code, out, _ = bootstrap("--dry-run", "--output", "json")
    found = json.loads(out)
    assert (code, found["as_planned"], found["dry_run"]) == (1, False, True)
    assert (found["account_id"], found["counts"]) == (sandbox.account_id, {"equal": 45, "differs": 1})
    (row,) = [row for row in found["rows"] if row["outcome"] != "equal"]
    assert (row["name"], row["planned"], row["found"]) == ("workgroup.scan-limit", 1_000_000_000_000, 10_000_000)
    code, out, _ = bootstrap()
    assert code == 1
    assert "differs       workgroup.scan-limit: planned 1000000000000, found 10000000" in out
    assert "> left as it is; --update workgroup.scan-limit makes it as planned" in out
    code, out, _ = bootstrap("--update", "workgroup.scan-limit", "--output", "jsonl")
    *lines, end = [json.loads(line) for line in out.splitlines()]
    assert (code, end["as_planned"], end["kind"]) == (0, True, "end")
    assert {line["name"]: line["outcome"] for line in lines}["workgroup.scan-limit"] == "updated"


def test_a_name_that_nothing_has_is_wrong_usage(bootstrap: Any) -> None:
    code, out, err = bootstrap("--update", "workgroup.scan")
    assert (code, out) == (2, "")
    assert "there is no 'workgroup.scan' to update; there are long-term-bucket," in err


def test_credentials_of_another_account_are_refused_before_anything_is_asked(bootstrap: Any, sandbox: Sandbox) -> None:
    sandbox.clear_calls()
    code, out, err = bootstrap("--aws-profile", "other")
    assert (code, out) == (1, "")
    assert "these AWS credentials are of account 999999999999" in err
    assert [call.operation for call in sandbox.calls()] == ["GetCallerIdentity"]


def test_without_credentials_the_remedy_is_told(bootstrap: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
    code, out, err = bootstrap()
    assert (code, out) == (1, "")
    assert "no AWS credentials are found; set AWS_PROFILE, give --aws-profile" in err


def test_without_a_storage_in_force_there_is_no_plan_of_it(bootstrap: Any) -> None:
    code, _, err = bootstrap("--stage", "cluster", "--dry-run")
    assert code == 1
    assert "no external audit storage is in force" in err
