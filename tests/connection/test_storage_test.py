"""`extaudit storage test` through a whole service, whose own issuer AWS trusts, while everything around is a trap."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from extaudit_cli.main import run
from extaudit_client import AsyncClient, Client, ConnectionTestEnd, Query
from extaudit_client.files import find_connection

from server.lifecycle import App
from tests.account_under_test import Account
from tests.aws_traps import set_traps
from tests.jwks_server import JwksServer
from tests.polling import until


@pytest.fixture
def account(served: tuple[App, Account]) -> Iterator[Account]:
    before = served[1].kept()
    yield served[1]
    assert served[1].kept() == before


@pytest.fixture
def data_dir(served: tuple[App, Account]) -> Path:
    return served[0].config.data_dir


@pytest.fixture
def client(data_dir: Path) -> Iterator[Client]:
    with Client(find_connection({}, data_dir)) as made:
        yield made


@pytest.fixture
def call(data_dir: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setenv("EXTAUDIT_PROFILE", "none")

    def called(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run(["storage", "test", *arguments, "--data-dir", str(data_dir)])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return called


def outcomes(client: Client) -> list[str]:
    return [json.loads(row.json)["outcome"] for row in client.search(Query(types=("extaudit.storage.test",))).rows]


def test_everything_passes_and_is_kept_though_every_variable_and_file_of_aws_is_a_trap(
    account: Account, client: Client, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JwksServer(tmp_path, plain=True) as trap:
        asked: list[str] = []
        trap.answer = lambda handler: asked.append(handler.path)
        set_traps(monkeypatch.setenv, tmp_path, trap.url.removesuffix("/keys?of=1"))
        account.sandbox.clear_calls()
        code, out, _ = call()
    assert code == 0, out
    assert asked == []
    assert "the connection test passed: 65 passed, 0 failed, 0 warnings, 0 not checked" in out
    assert out.count("✓") == 65
    roles = {each.caller for each in account.sandbox.calls() if "TRAP" in each.caller or "trap" in each.caller}
    assert roles == set()
    last = client.storages.draft().last_test
    assert last is not None
    assert (last.passed, last.role_arn, last.tester.name) == (True, account.role_arn, "admin")
    until(lambda: outcomes(client)[:1] == ["passed"])


def test_a_failure_is_shown_with_right_and_remedy_and_the_exit_code_says_so(account: Account, call: Any) -> None:
    policy = account.policy
    policy["Statement"][0]["Action"].remove("s3:ListBucketVersions")
    account.put_policy(policy)
    try:
        code, out, _ = call()
        lines_code, lines, _ = call("--output", "jsonl")
        json_code, whole_text, _ = call("--output", "json")
    finally:
        account.put_policy(account.policy)
    assert (code, lines_code, json_code) == (1, 1, 1)
    assert "✗ prefix.list-versions" in out
    assert "missing right s3:ListBucketVersions" in out
    assert "→ Allow s3:ListBucketVersions" in out
    assert "the connection test FAILED" in out
    records = [json.loads(line) for line in lines.splitlines()]
    assert [record["kind"] for record in records] == ["check"] * (len(records) - 1) + ["end"]
    failed = [record for record in records if record.get("outcome") == "failed"]
    assert {record["missing_action"] for record in failed} == {"s3:ListBucketVersions"}
    told = json.loads(whole_text)
    assert (told["test"]["passed"], len(told["checks"])) == (False, len(records) - 1)


def test_another_role_is_tried(account: Account, call: Any) -> None:
    code, out, _ = call("--role-arn", account.role_arn + "-none")
    assert code == 1
    assert "✗ credentials.role" in out
    assert "trust policy" in out
    code, _, err = call("--role-arn", "arn:aws:iam::999999999999:role/x")
    assert (code, "role_arn" in err) == (1, True)
    code, _, err = call("--stage", "cluster")
    assert (code, "no external audit storage is in force" in err) == (1, True)


def test_asyncio_gives_the_same(account: Account, data_dir: Path) -> None:
    async def test() -> list[Any]:
        async with AsyncClient(find_connection({}, data_dir)) as client:
            return [step async for step in client.storages.test()]

    *checks, end = asyncio.run(test())
    assert isinstance(end, ConnectionTestEnd)
    assert (end.passed, len(checks), end.test.passed) == (65, 65, True)
    assert {check.outcome for check in checks} == {"passed"}


def test_who_leaves_leaves_nothing_and_it_counts_for_nothing(account: Account, client: Client) -> None:
    before = client.storages.draft().last_test
    steps = client.storages.test()
    assert [next(steps) for _ in range(14)]
    steps.close()
    until(lambda: "cancelled" in outcomes(client))
    assert client.storages.draft().last_test == before
