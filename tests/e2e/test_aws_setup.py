"""`extaudit integrations aws-setup` beside a running server, in a sandbox of AWS that looks at policies and tokens."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from extaudit_cli.main import run
from extaudit_client import Client
from extaudit_client.files import find_connection

from server.config import HttpSection
from server.lifecycle import App
from tests.certificates_builder import CaShape
from tests.reserved_port import reserved_port
from tests.running_app import running_app
from tests.sandbox.running import Sandbox, running_sandbox
from tests.terraform_reader import read

READS = {"GetCallerIdentity", "GetOpenIDConnectProvider", "GetRole"}
AUDIENCE = "extaudit.aws"


@dataclass
class World:
    """A server whose issuer is reached by TLS of a private authority, and an AWS account."""

    app: App
    sandbox: Sandbox
    issuer: str
    issuer_ca: Path

    @property
    def provider_arn(self) -> str:
        return f"arn:aws:iam::{self.sandbox.account_id}:oidc-provider/{self.issuer.partition('://')[2]}"

    @property
    def client(self) -> Client:
        return Client(find_connection({}, self.app.directory.path))

    def create(self, name: str, *, path: str = "/", account: str = "") -> str:
        """An integration with a role of its name; gives the role's ARN."""
        arn = f"arn:aws:iam::{account or self.sandbox.account_id}:role{path}{name}"
        with self.client as client:
            client.integrations.create(name, arn)
        return arn

    def assume(self, role_arn: str, integration: str) -> dict[str, Any]:
        token = self.app.issuer.tokens.token(integration)
        sts = self.sandbox.client("sts")
        answer: dict[str, Any] = sts.assume_role_with_web_identity(
            RoleArn=role_arn, RoleSessionName="extaudit", WebIdentityToken=token
        )
        return answer

    def provider(self) -> dict[str, Any]:
        found: dict[str, Any] = self.sandbox.client("iam").get_open_id_connect_provider(
            OpenIDConnectProviderArn=self.provider_arn
        )
        return found

    def state(self) -> dict[str, Any]:
        """Everything that IAM knows of providers and roles."""
        iam = self.sandbox.client("iam")
        providers = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
        found: dict[str, Any] = {
            each["Arn"]: iam.get_open_id_connect_provider(OpenIDConnectProviderArn=each["Arn"]) for each in providers
        }
        for role in iam.list_roles()["Roles"]:
            found[role["Arn"]] = iam.get_role(RoleName=role["RoleName"])["Role"]
            found[role["Arn"]].pop("RoleLastUsed", None)
        for each in found.values():
            each.pop("ResponseMetadata", None)
        return found

    def operations(self) -> list[str]:
        """What was asked of the sandbox since `clear_calls`."""
        return [call.operation for call in self.sandbox.calls()]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder, authority = tmp_path_factory.mktemp("setup"), CaShape().make()
    (folder / "ca.pem").write_bytes(authority.pem)
    certificate, key = authority.server().write(folder, "public")
    port = reserved_port()
    issuer = f"https://localhost:{port}"
    http = HttpSection("127.0.0.1:0", None, None, f"127.0.0.1:{port}", certificate, key)
    with (
        running_app(folder / "data", issuer_url=issuer, http=http) as app,
        running_sandbox(issuer_ca=folder / "ca.pem") as sandbox,
    ):
        yield World(app, sandbox, issuer, folder / "ca.pem")


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def rows(self) -> dict[str, str]:
        """Outcomes by name, of JSON output."""
        return {row["name"]: row["outcome"] for row in json.loads(self.out)["rows"]}


class Setup:
    """Runs the command with credentials in the environment, as an administrator's machine has them."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.world, self._patch, self._capfd = world, monkeypatch, capfd
        sandbox = world.sandbox
        self.credentials({"AccessKeyId": sandbox.admin_access_key, "SecretAccessKey": sandbox.admin_secret_key})

    def credentials(self, given: dict[str, str]) -> None:
        self._patch.setenv("AWS_ACCESS_KEY_ID", given["AccessKeyId"])
        self._patch.setenv("AWS_SECRET_ACCESS_KEY", given["SecretAccessKey"])

    def __call__(self, name: str, *flags: str) -> Outcome:
        self._capfd.readouterr()
        place = ["--data-dir", str(self.world.app.directory.path), "--profile", "none"]
        code = run(["integrations", "aws-setup", name, *place, "--issuer-ca", str(self.world.issuer_ca), *flags])
        captured = self._capfd.readouterr()
        return Outcome(code, captured.out, captured.err)


@pytest.fixture
def setup(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Setup:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", world.sandbox.endpoint)
    world.sandbox.clear_calls()
    return Setup(world, monkeypatch, capfd)


def test_after_the_setup_the_service_can_assume_the_role_and_a_second_run_changes_nothing(setup: Setup) -> None:
    world = setup.world
    role = world.create("first", path="/service/audit/")
    done = setup("first", "--output", "json")
    assert (done.code, done.err) == (0, "")
    assert done.rows["role"] == "created"
    assert world.assume(role, "first")["SubjectFromWebIdentityToken"] == "extaudit:integration:first"
    before = world.state()
    world.sandbox.clear_calls()
    again = setup("first")
    assert set(world.operations()) == READS
    assert world.state() == before
    assert (again.code, again.err) == (0, "")
    assert "All is as planned, and nothing was changed: " in again.out


def test_a_token_of_another_integration_does_not_open_the_role(setup: Setup) -> None:
    world = setup.world
    mine, theirs = world.create("mine"), world.create("theirs")
    assert setup("mine").code == setup("theirs").code == 0
    assert world.assume(theirs, "theirs")
    for role, integration in ((mine, "theirs"), (theirs, "mine")):
        with pytest.raises(ClientError) as error:
            world.assume(role, integration)
        assert error.value.response["Error"]["Code"] == "AccessDenied"


def test_the_role_that_an_integration_is_to_get_is_set_up_before_it_gets_it(setup: Setup) -> None:
    world = setup.world
    now = world.create("changing")
    later = now.replace("/changing", "/changing-later")
    assert setup("changing").code == 0
    assert setup("changing", "--role-arn", later).code == 0
    assert world.assume(now, "changing")
    assert world.assume(later, "changing")
    wrong = setup("changing", "--role-arn", "arn:aws:iam::1:role/x")
    assert (wrong.code, wrong.err.count("\n")) == (1, 1)


def test_a_dry_run_and_terraform_touch_nothing_and_say_what_would_be(setup: Setup) -> None:
    world = setup.world
    world.create("dry")
    before = world.state()
    world.sandbox.clear_calls()
    dry = setup("dry", "--dry-run", "--output", "json")
    assert (dry.code, dry.rows["role"]) == (1, "would create")
    assert set(world.operations()) == READS
    world.sandbox.clear_calls()
    written = setup("dry", "--terraform")
    assert (written.code, written.err, world.operations()) == (0, "", [])
    assert world.state() == before
    planned = {row["name"]: row["planned"] for row in json.loads(dry.out)["rows"]}
    found = read(written.out)["resource"]
    role = found[1]["aws_iam_role"]["extaudit"]
    assert (
        role["assume_role_policy"].value["Statement"][0]["Condition"]
        == (planned["role"]["trust"]["Statement"][0]["Condition"])
    )
    assert (role["name"], role["tags"]) == ("dry", planned["role"]["tags"])


def test_a_provider_that_is_there_gets_one_more_client_id_and_keeps_the_rest(setup: Setup) -> None:
    world, iam = setup.world, setup.world.sandbox.client("iam")
    world.create("sharing")
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=world.provider_arn)
    iam.create_open_id_connect_provider(Url=world.issuer, ClientIDList=["others"], ThumbprintList=["ab" * 20])
    done = setup("sharing", "--output", "json")
    assert (done.code, done.rows["identity-provider.client-id"]) == (1, "set")
    assert done.rows["identity-provider.thumbprint"] == "differs"
    assert sorted(world.provider()["ClientIDList"]) == [AUDIENCE, "others"]
    assert world.provider()["ThumbprintList"] == ["ab" * 20]
    done = setup("sharing", "--update-trust", "--output", "json")
    assert (done.code, done.rows["identity-provider.thumbprint"]) == (0, "updated")
    assert world.provider()["ThumbprintList"][0] == "ab" * 20
    assert len(world.provider()["ThumbprintList"]) == 2


def test_another_trust_policy_is_shown_and_replaced_only_where_that_is_asked_for(setup: Setup) -> None:
    world, iam = setup.world, setup.world.sandbox.client("iam")
    role = world.create("loose")
    assert setup("loose").code == 0
    policy = iam.get_role(RoleName="loose")["Role"]["AssumeRolePolicyDocument"]
    subject = f"{world.issuer.partition('://')[2]}:sub"
    del policy["Statement"][0]["Condition"]["StringEquals"][subject]
    iam.update_assume_role_policy(RoleName="loose", PolicyDocument=json.dumps(policy))
    shown = setup("loose")
    assert (shown.code, shown.err) == (1, "")
    assert f'+ "{subject}": "extaudit:integration:loose"' in " ".join(shown.out.split())
    assert "--update-trust makes it as planned" in shown.out
    assert iam.get_role(RoleName="loose")["Role"]["AssumeRolePolicyDocument"] == policy
    would = setup("loose", "--update-trust", "--dry-run", "--output", "json")
    assert (would.code, would.rows["role.trust"]) == (1, "would update")
    assert iam.get_role(RoleName="loose")["Role"]["AssumeRolePolicyDocument"] == policy
    assert setup("loose", "--update-trust").code == 0
    assert subject in json.dumps(iam.get_role(RoleName="loose")["Role"]["AssumeRolePolicyDocument"])
    assert world.assume(role, "loose")


def test_description_and_tags_of_others_stay(setup: Setup) -> None:
    world, iam = setup.world, setup.world.sandbox.client("iam")
    world.create("described")
    assert setup("described").code == 0
    iam.update_role(RoleName="described", Description="ours")
    iam.untag_role(RoleName="described", TagKeys=["extaudit:integration"])
    done = setup("described", "--update-trust", "--output", "json")
    assert (done.code, done.rows["role.description"], done.rows["role.tags"]) == (0, "equal", "equal")
    assert iam.get_role(RoleName="described")["Role"]["Description"] == "ours"
    notes = {row["name"]: row["notes"] for row in json.loads(done.out)["rows"] if row["notes"]}
    assert set(notes) == {"role.description", "role.tags"}


def test_credentials_of_another_account_are_refused_before_anything_is_looked_at(setup: Setup) -> None:
    setup.world.create("elsewhere")
    setup.credentials(setup.world.sandbox.other_account("999988887777"))
    refused = setup("elsewhere")
    assert refused.code == 1
    assert refused.err.startswith("Error: these AWS credentials are of account 999988887777 (aws), and the role arn:")
    assert setup.world.operations() == ["GetCallerIdentity"]


def test_a_refusal_is_one_line_with_the_missing_action_and_the_next_run_goes_on(setup: Setup) -> None:
    world = setup.world
    role = world.create("halfway")
    world.sandbox.fail("iam:CreateRole", "AccessDenied", status=403)
    failed = setup("halfway")
    assert failed.code == 1
    assert failed.err.startswith("Error: AWS refuses iam:CreateRole with AccessDenied ")
    assert "these credentials lack iam:CreateRole" in failed.err
    assert failed.err.count("\n") == 1
    assert setup("halfway").code == 0
    assert world.assume(role, "halfway")


def test_an_issuer_that_aws_takes_from_nobody_is_told_beside_the_refusal(setup: Setup) -> None:
    """An address with a port of its own, say: all that AWS says of it is a code."""
    setup.world.create("ported")
    iam = setup.world.sandbox.client("iam")
    with contextlib.suppress(ClientError):
        iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=setup.world.provider_arn)
    setup.world.sandbox.fail("iam:CreateOpenIDConnectProvider", "InvalidInput", status=400)
    refused = setup("ported")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert f"by https at port 443 alone, and issuer_url is {setup.world.issuer}" in refused.err
    assert setup("ported").code == 0


def test_a_role_of_the_name_at_another_path_is_none_of_ours(setup: Setup) -> None:
    iam = setup.world.sandbox.client("iam")
    trust = {"Version": "2012-10-17", "Statement": []}
    iam.create_role(RoleName="taken", Path="/theirs/", AssumeRolePolicyDocument=json.dumps(trust))
    setup.world.create("taken", path="/ours/")
    refused = setup("taken", "--update-trust")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "a role taken already, with another path: " in refused.err
    assert iam.get_role(RoleName="taken")["Role"]["AssumeRolePolicyDocument"] == trust


def test_what_is_not_there_or_not_trusted_is_one_line(setup: Setup, tmp_path: Path) -> None:
    missing = setup("nobody")
    assert (missing.code, missing.err) == (1, "Error: there is no integration of that name (NOT_FOUND)\n")
    setup.world.create("untrusted")
    other = tmp_path / "other.pem"
    other.write_bytes(Path(setup.world.app.ready["ca"]).read_bytes())
    refused = setup("untrusted", "--issuer-ca", str(other))
    assert refused.err.startswith("Error: the issuer's certificate isn't trusted here (")
    assert set(setup.world.operations()) == {"GetCallerIdentity"}


def test_in_another_partition_everything_is_of_that_partition(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = "arn:aws-us-gov:iam::123456789012:role/gov"
    with setup.world.client as client:
        client.integrations.create("gov", arn)
    with running_sandbox(issuer_ca=setup.world.issuer_ca, region="us-gov-west-1") as sandbox:
        monkeypatch.setenv("AWS_ENDPOINT_URL", sandbox.endpoint)
        setup.credentials({"AccessKeyId": sandbox.admin_access_key, "SecretAccessKey": sandbox.admin_secret_key})
        done = setup("gov", "--output", "json")
        assert (done.code, done.err) == (0, "")
        sts = sandbox.client("sts")
        token = setup.world.app.issuer.tokens.token("gov")
        answer = sts.assume_role_with_web_identity(RoleArn=arn, RoleSessionName="extaudit", WebIdentityToken=token)
    assert answer["Provider"].startswith("arn:aws-us-gov:iam::123456789012:oidc-provider/")
