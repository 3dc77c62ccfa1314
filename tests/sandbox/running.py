"""The sandbox as a process of its own, for tests: `with running_sandbox(folder) as sandbox: sandbox.client("s3")`."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
from botocore.config import Config

from tests.sandbox.calls import Call

ROOT = Path(__file__).parents[2]
_SECONDS = 120
_CREDENTIALS = ("AccessKeyId", "SecretAccessKey", "SessionToken")


@dataclass
class Sandbox:
    """A running sandbox. The administrator may do everything in the account."""

    endpoint: str
    admin_access_key: str
    admin_secret_key: str = field(repr=False)
    account_id: str
    region: str
    authority: Path | None = None
    """Who signed its certificate, where it serves https."""
    _clients: dict[tuple[str, ...], Any] = field(default_factory=dict, repr=False)
    # one for all clients: it keeps the services' descriptions, which take most of a client's making
    _session: boto3.session.Session = field(default_factory=boto3.session.Session, repr=False)

    @property
    def partition(self) -> str:
        """That of the region."""
        return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(self.region.rpartition("-")[0].rpartition("-")[0], "aws")

    def client(self, service: str, *, region: str = "", credentials: dict[str, str] | None = None) -> Any:
        """A boto3 client: the administrator's, or with `credentials` as STS or `other_account` gives them.

        Asked the same again it is the same one, since making one takes long.
        """
        given = credentials or {"AccessKeyId": self.admin_access_key, "SecretAccessKey": self.admin_secret_key}
        name = (service, region, *(str(given.get(each)) for each in _CREDENTIALS))
        if name not in self._clients:
            self._clients[name] = self._make_client(service, region, given)
        return self._clients[name]

    def _make_client(self, service: str, region: str, given: dict[str, str]) -> Any:
        return self._session.client(
            service,
            region_name=region or self.region,
            endpoint_url=self.endpoint,
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given.get("SessionToken"),
            verify=str(self.authority) if self.authority else None,
            config=Config(
                retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, proxies={}, connect_timeout=60
            ),
        )

    def calls(self) -> list[Call]:
        """What was asked of it, oldest first; one for each action that a request needs."""
        return [Call(**each) for each in self.ask("calls")]

    def clear_calls(self) -> None:
        """Forget what was asked so far."""
        self.ask("clear-calls")

    def fail(self, action: str, code: str, *, status: int = 400, times: int = 1) -> None:
        """Have the next requests for an action ("s3:PutObject") or operation ("UploadPart") fail with an AWS code."""
        self.ask("fail", action=action, code=code, status=status, times=times)

    def pass_over_conditions(self) -> None:
        """Have S3 write over what is there, whatever `If-None-Match` says, until faults are cleared."""
        self.ask("no-conditions")

    def clear_faults(self) -> None:
        """Take back every failure that didn't happen yet."""
        self.ask("clear-faults")

    def expire_sessions(self, role: str = "") -> int:
        """End the sessions of a role, or of all; gives their number."""
        return int(self.ask("expire-sessions", role=role)["expired"])

    def forget_keys(self) -> None:
        """Have it ask token issuers for their keys anew, as AWS does after some hours."""
        self.ask("forget-keys")

    def hold_queries(self, held: bool) -> None:
        """Leave Athena's queries QUEUED from now on, or let all go."""
        self.ask("hold-queries", held=held)

    def other_account(self, account_id: str) -> dict[str, str]:
        """Credentials of an administrator of another account."""
        keys = self.ask("account", account=account_id)
        return {"AccessKeyId": keys["access_key"], "SecretAccessKey": keys["secret_key"]}

    def ask(self, name: str, **fields: Any) -> Any:
        """The answer of an administration endpoint."""
        context = ssl.create_default_context(cafile=str(self.authority)) if self.authority else None
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(f"{self.endpoint}/_sandbox/{name}", json.dumps(fields).encode(), timeout=60) as answer:
            return json.loads(answer.read())

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients.values():
            client.close()


@contextmanager
def running_sandbox(
    *,
    issuer_ca: Path | None = None,
    region: str = "us-west-2",
    account: str = "123456789012",
    tls: tuple[Path, Path, Path] | None = None,
    as_tls: bool = True,
    unpatched: bool = False,
) -> Iterator[Sandbox]:
    """Serve until the end of the block. `issuer_ca` signs token issuers' certificates. `tls` are certificate, key and
    authority; without, plain requests are taken for ones over TLS, unless `as_tls` is False: buckets' policies ask for
    it. `unpatched` is moto as it comes, to compare with."""
    flags = ["--region", region, "--account", account]
    flags += ["--issuer-ca", str(issuer_ca)] if issuer_ca else []
    flags += ["--tls-cert", str(tls[0]), "--tls-key", str(tls[1])] if tls else []
    flags += ["--as-tls"] if as_tls else []
    flags += ["--unpatched"] if unpatched else []
    with TemporaryDirectory() as folder, _Process(Path(folder), flags) as process:
        ready = process.wait_until_ready()
        sandbox = Sandbox(
            ready["endpoint"], ready["access_key"], ready["secret_key"], account, region, tls[2] if tls else None
        )
        try:
            yield sandbox
        finally:
            sandbox.close()


class _Process:
    def __init__(self, folder: Path, flags: list[str]) -> None:
        self._ready_file = folder / "ready.json"
        self._log = folder / "sandbox.log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.sandbox", "--ready-file", str(self._ready_file), *flags],
                cwd=ROOT,
                env=kept | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(_SECONDS)
        if said := self._log.read_text(errors="replace"):
            sys.stderr.write(said)

    def wait_until_ready(self) -> dict[str, Any]:
        deadline = time.monotonic() + _SECONDS
        while not self._ready_file.exists():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)
        ready: dict[str, Any] = json.loads(self._ready_file.read_bytes())
        return ready
