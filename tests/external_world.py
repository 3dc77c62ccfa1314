"""An account in the sandbox and a service that may keep events in it, set up by the service's own commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from extaudit_cli.main import run
from extaudit_client import Client, ExternalAuditStorage, StorageSpec
from extaudit_client.files import find_connection
from extaudit_client.retries import Retries

from server.config import AlertsSection, AwsSection, HttpSection, JournalSection
from tests.certificates_builder import CaShape
from tests.fault_proxy.running import FaultProxy, running_proxy
from tests.reserved_port import reserved_port
from tests.running_app import running_app
from tests.sandbox.running import Sandbox, running_sandbox

ROLE = "extaudit-events"
PATIENCE = 6.0
"""Seconds that a service with a faulty way to AWS waits for an answer: enough on a busy machine."""
OFTEN = JournalSection(cut_age_seconds=0.2)
SOON = AlertsSection(period_seconds=0.05)


@dataclass
class World:
    """An account and a service that may keep events in it."""

    sandbox: Sandbox
    http: HttpSection
    issuer: str
    folder: Path
    aws: AwsSection
    """How the service reaches the sandbox."""

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    def serving(self, **sections: Any) -> Any:
        """The service, in this process; `sections` of its configuration as `running_app` has them."""
        own = {"issuer_url": self.issuer, "aws": self.aws, "http": self.http, "journal": OFTEN, "alerts": SOON}
        return running_app(self.data_dir, **(own | sections))

    def client(self, retries: Retries | None = None) -> Client:
        return Client(find_connection({}, self.data_dir), retries=retries)

    def command(self, *arguments: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", self.sandbox.admin_access_key)
            patch.setenv("AWS_SECRET_ACCESS_KEY", self.sandbox.admin_secret_key)
            patch.setenv("AWS_ENDPOINT_URL", self.sandbox.endpoint)
            patch.setenv("AWS_CONFIG_FILE", "none")
            patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
            assert run([*arguments, "--data-dir", str(self.data_dir), "--profile", "none"]) == 0

    def objects(self, bucket: str, prefix: str = "") -> dict[str, bytes]:
        """Every object of the bucket whose key begins so, by key."""
        s3 = self.sandbox.client("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        names = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return {name: s3.get_object(Bucket=bucket, Key=name)["Body"].read() for name in names}

    def set_up(self, client: Client) -> ExternalAuditStorage:
        """Have the account trust the service and all that is planned be there; gives the draft."""
        client.integrations.create("events", f"arn:aws:iam::{self.sandbox.account_id}:role/{ROLE}")
        self.command("integrations", "aws-setup", "events", "--issuer-ca", str(self.folder / "ca.pem"))
        draft = client.storages.generate("events", "us-west-2")
        self.command("storage", "bootstrap")
        return draft

    def switch(self, client: Client, spec: StorageSpec, *, there: bool) -> None:
        """Promote, or disable."""
        if there:
            draft = client.storages.create(spec)
            client.storages.promote(draft.revision, force=True, reason="it is what the test is about")
        else:
            client.storages.disable(reason="likewise")

    def flags(self) -> list[str]:
        """Of a server that is a process of its own."""
        http, aws = self.http, self.aws
        authority = ["--aws-ca", str(aws.ca)] if aws.ca else []
        return [
            *authority, "--issuer-url", self.issuer, "--aws-endpoint", str(aws.endpoint),
            "--aws-attempts", str(aws.attempts), "--aws-read-timeout-seconds", str(aws.read_timeout_seconds),
            "--http-public-listen", str(http.public_listen), "--http-public-certificate", str(http.public_certificate),
            "--http-public-key", str(http.public_key),
        ]  # fmt: skip


@contextmanager
def an_account(folder: Path) -> Iterator[World]:
    """A sandbox and a place for a service, until the end of the block."""
    authority = CaShape().make()
    (folder / "ca.pem").write_bytes(authority.pem)
    certificate, key = authority.server().write(folder, "public")
    port = reserved_port()
    http = HttpSection("127.0.0.1:0", None, None, f"127.0.0.1:{port}", certificate, key)
    with running_sandbox(issuer_ca=folder / "ca.pem") as sandbox:
        aws = AwsSection(endpoint=sandbox.endpoint, attempts=1)
        yield World(sandbox, http, f"https://localhost:{port}", folder, aws)


@contextmanager
def a_faulty_account(folder: Path) -> Iterator[tuple[World, FaultProxy]]:
    """The same, with a proxy between the service and the sandbox that has what is planned go wrong."""
    with an_account(folder) as world:
        certificate, key = folder / "public.crt", folder / "public.key"
        with running_proxy(world.sandbox.endpoint, certificate, key) as proxy:
            world.aws = replace(world.aws, endpoint=proxy.endpoint, ca=folder / "ca.pem", read_timeout_seconds=PATIENCE)
            yield world, proxy
