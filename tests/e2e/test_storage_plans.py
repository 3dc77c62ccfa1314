"""The policy and the infrastructure of an external audit storage as text, through the command line and a server."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from extaudit.v1 import external_audit_storage_pb2 as storage_pb
from extaudit.v1 import external_audit_storage_service_pb2 as pb
from extaudit.v1 import integration_pb2, integration_service_pb2
from extaudit.v1.external_audit_storage_service_pb2_grpc import ExternalAuditStorageServiceStub
from extaudit.v1.integration_service_pb2_grpc import IntegrationServiceStub
from extaudit_cli.main import run
from extaudit_client import AsyncClient, Connection, NotFound

from server.external_storage.iam_policy import iam_policy
from tests.running_server import RunningServer, running_server
from tests.unit.external_storage.specs import ACCOUNT, KEY, ROLE, SPEC
from tests.unit.terraform.test_storage import Written, assert_written

OTHER = f"arn:aws:iam::{ACCOUNT}:role/other"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """With an integration and a draft."""
    with running_server(tmp_path_factory.mktemp("server")) as running:
        with channel(running.connection()) as opened:
            integration = integration_pb2.Integration(
                name=SPEC.integration_name, aws_oidc=integration_pb2.AwsOidcIntegration(role_arn=str(ROLE))
            )
            IntegrationServiceStub(opened).CreateIntegration(
                integration_service_pb2.CreateIntegrationRequest(integration=integration)
            )
            fields = storage_pb.ExternalAuditStorageSpec.DESCRIPTOR.fields_by_name
            spec = storage_pb.ExternalAuditStorageSpec(**{name: getattr(SPEC, name) for name in fields})
            options = storage_pb.ExternalAuditStorageOptions(kms_key_arn=KEY, retention_days=2000)
            ExternalAuditStorageServiceStub(opened).CreateDraft(pb.CreateDraftRequest(spec=spec, options=options))
        yield running


def channel(connection: Connection) -> grpc.Channel:
    assert connection.key is not None
    assert connection.cert is not None
    files = (connection.ca, connection.key, connection.cert)
    credentials = grpc.ssl_channel_credentials(*(file.read_bytes() for file in files))
    return grpc.secure_channel(connection.address, credentials)


@pytest.fixture
def printed(server: RunningServer, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Any:
    """Run a command of the group; gives its exit code and what it prints."""
    monkeypatch.setenv("EXTAUDIT_PROFILE", "none")

    def call(*arguments: str) -> tuple[int, str, str]:
        capfdbinary.readouterr()
        code = run(["storage", *arguments, "--data-dir", str(server.data_dir)])
        captured = capfdbinary.readouterr()
        return code, captured.out.decode(), captured.err.decode()

    return call


def test_the_policy_is_printed_as_json(printed: Any) -> None:
    code, out, err = printed("iam-policy")
    assert (code, err) == (0, "")
    assert json.loads(out) == iam_policy(SPEC, "aws", ACCOUNT, KEY)
    _, out, _ = printed("iam-policy", "--without-kms", "--role-arn", OTHER, "--output", "json")
    assert json.loads(out) == {
        "role_arn": OTHER,
        "policy_name": SPEC.policy_name,
        "policy": iam_policy(SPEC, "aws", ACCOUNT),
    }


def test_the_policy_is_printed_as_a_command(printed: Any) -> None:
    code, out, _ = printed("iam-policy", "--aws-cli")
    *words, document = shlex.split(out)
    assert code == 0
    assert words == [
        "aws",
        "iam",
        "put-role-policy",
        f"--role-name={ROLE.name}",
        f"--policy-name={SPEC.policy_name}",
    ]
    assert json.loads(document.removeprefix("--policy-document=")) == iam_policy(SPEC, "aws", ACCOUNT, KEY)


def test_the_file_for_terraform_has_the_plan_that_the_service_gives(server: RunningServer, printed: Any) -> None:
    code, out, err = printed("terraform")
    assert (code, err) == (0, "")
    with server.client() as client:
        plan = client.storages.infrastructure()
    assert_written(plan, Written(out))
    told = json.loads(printed("terraform", "--output", "json")[1])
    assert (told["revision"], told["glue"]["location"]) == (plan.revision, SPEC.audit_events_long_term_uri)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["iam-policy", "--stage", "cluster"], 1, "no external audit storage is in force (NO_EXTERNAL_STORAGE)"),
        (["terraform", "--stage", "cluster"], 1, "no external audit storage is in force (NO_EXTERNAL_STORAGE)"),
        (["iam-policy", "--role-arn", "x"], 1, "role_arn: must be arn:<partition>:iam::<12 digits>:role/"),
        (["iam-policy", "--role-arn", OTHER.replace(ACCOUNT, "9" * 12)], 1, f"must be a role of account {ACCOUNT}"),
        (["iam-policy", "--aws-cli", "--output", "json"], 2, "--aws-cli prints a command"),
    ],
)
def test_what_can_not_be_printed_is_said_in_one_line(printed: Any, arguments: list[str], code: int, words: str) -> None:
    found, out, err = printed(*arguments)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert words in err


def test_the_client_for_asyncio_gives_the_same(server: RunningServer) -> None:
    async def ask() -> tuple[Any, Any]:
        async with AsyncClient(server.connection()) as client:
            with pytest.raises(NotFound):
                await client.storages.infrastructure("cluster")
            return await client.storages.infrastructure(), await client.storages.iam_policy(role_arn=OTHER)

    plan, policy = asyncio.run(ask())
    with server.client() as client:
        assert client.storages.infrastructure() == plan
        assert client.storages.iam_policy(role_arn=OTHER) == policy
        with pytest.raises(ValueError, match="draft"):
            client.storages.infrastructure("other")
