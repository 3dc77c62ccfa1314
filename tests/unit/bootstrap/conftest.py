"""One sandbox for all tests of bootstrapping, in which each test has names of its own.

It takes what comes for TLS, since the planned policies refuse all else.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from extaudit_cli.aws.admin import Admin, open_admin
from extaudit_cli.bootstrap.patience import Patience
from extaudit_cli.bootstrap.rows import Outcome, Report
from extaudit_cli.bootstrap.run import Bootstrap, things
from extaudit_client import InfrastructurePlan

from server.storage.spec import StorageOptions
from tests.planned_infrastructure import plan, spec
from tests.sandbox.running import Sandbox, running_sandbox

REGION = "us-west-2"
ROLE = "extaudit-acme"


@contextmanager
def sandbox_with_role(region: str) -> Iterator[Sandbox]:
    """A sandbox with the integration's role."""
    with running_sandbox(region=region, as_tls=True) as running:
        nobody = json.dumps({"Version": "2012-10-17", "Statement": []})
        running.client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument=nobody)
        yield running


@pytest.fixture(scope="package")
def sandbox() -> Iterator[Sandbox]:
    with sandbox_with_role(REGION) as running:
        yield running


@dataclass
class Account:
    """An account to build in, with credentials as the administrator's tools find them."""

    sandbox: Sandbox
    folder: Path
    pauses: list[float] = field(default_factory=list)
    _admins: dict[tuple[str, str], Admin] = field(default_factory=dict)
    _limited: bool = False

    def plan(
        self, unique: str = "", *, options: StorageOptions | None = None, region: str = REGION
    ) -> InfrastructurePlan:
        """A plan whose names nobody else has."""
        return plan(spec(unique or uuid4().hex[:12], region), options, self.sandbox.partition)

    def admin(self, region: str = REGION, profile: str = "administrator") -> Admin:
        """One session for all tests: making clients takes long."""
        if (profile, region) not in self._admins:
            self._admins[profile, region] = open_admin(profile, region, self.sandbox.partition)
        return self._admins[profile, region]

    def add_profile(self, name: str, access_key: str, secret_key: str) -> None:
        """Write credentials where AWS's tools look for them."""
        with (self.folder / "credentials").open("a") as out:
            out.write(f"[{name}]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n")

    def allow_actions(self, allowed: Collection[str]) -> str:
        """A profile of somebody who from now on may do these actions and nothing else."""
        statement = {"Effect": "Allow", "Action": sorted(allowed), "Resource": "*"}
        return self.allow(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

    def allow(self, policy: str) -> str:
        """A profile of somebody who from now on may do what a policy allows and nothing else."""
        iam = self.sandbox.client("iam")
        if not self._limited:
            iam.create_user(UserName="limited")
            key = iam.create_access_key(UserName="limited")["AccessKey"]
            self.add_profile("limited", key["AccessKeyId"], key["SecretAccessKey"])
            self._limited = True
        iam.put_user_policy(UserName="limited", PolicyName="allowed", PolicyDocument=policy)
        return "limited"

    def run(
        self,
        plan: InfrastructurePlan,
        *,
        updates: Collection[str] = (),
        only: Collection[str] = (),
        dry_run: bool = False,
        profile: str = "administrator",
    ) -> Report:
        """Bootstrap it, or only some things of it, without waiting between attempts."""
        patience = Patience(5, pause=self.pauses.append)
        planned = things(self.admin(plan.region, profile), plan, patience)
        wanted = [thing for thing in planned if not only or thing.name in only]
        return Bootstrap(wanted, updates, dry_run, lambda _: None, patience).run()

    def changes(self) -> list[str]:
        """Operations that were sent since the calls were cleared, and that may change something."""
        reads = ("Get", "Head", "List")
        return [call.operation for call in self.sandbox.calls() if not call.operation.startswith(reads)]


@contextmanager
def account_of(sandbox: Sandbox, folder: Path) -> Iterator[Account]:
    """The account of a sandbox, and its administrator's AWS configuration in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", sandbox.endpoint)
        patch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
        made = Account(sandbox, folder)
        made.add_profile("administrator", sandbox.admin_access_key, sandbox.admin_secret_key)
        yield made


@pytest.fixture(scope="package")
def account(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with account_of(sandbox, tmp_path_factory.mktemp("aws")) as made:
        yield made


def outcomes(report: Report, *outcomes: Outcome) -> set[str]:
    """Names of the rows with one of these outcomes."""
    return {row.name for row in report.rows if row.outcome in outcomes}
