"""A whole service whose own issuer an account of the sandbox trusts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from extaudit_client import Client, StorageOptions, StorageSpec
from extaudit_client.files import find_connection

from server.config import AwsSection
from server.lifecycle import App
from server.state.signing_keys import SigningKey
from tests.account_under_test import Account, set_up
from tests.jwks_server import JwksServer, whole
from tests.running_app import running_app
from tests.sandbox.running import Sandbox
from tests.sandbox.token_issuer import Issuer

SUBJECT = "extaudit:integration:production"


class Documents:
    """The issuer's documents, where the service says that its issuer is."""

    def __init__(self, server: JwksServer) -> None:
        self.url = server.url.removesuffix("/keys?of=1")
        self.keys: Callable[[], tuple[SigningKey, ...]] = tuple
        server.answer = self.answer

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        more = {"alg": "RS256", "use": "sig"}
        keys = [{**key.public_key, **more, "kid": key.key_id} for key in self.keys()]
        at = f"{self.url}/.well-known/jwks-oidc"
        answers = {
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": at},
            "/.well-known/jwks-oidc": {"keys": keys},
        }
        whole(handler, json.dumps(answers.get(handler.path, {})).encode())


def trusting_role(sandbox: Sandbox, documents: Documents, name: str) -> str:
    """The ARN of a new role that trusts the service, as `integrations aws-setup` would make it."""
    iam, host = sandbox.client("iam"), documents.url.partition("://")[2]
    arn = f"arn:aws:iam::{sandbox.account_id}:oidc-provider/{host}"
    if name == "served":
        iam.create_open_id_connect_provider(Url=documents.url, ClientIDList=["extaudit.aws"], ThumbprintList=["0" * 40])
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": arn},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{host}:aud": "extaudit.aws", f"{host}:sub": SUBJECT}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return str(iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy)["Role"]["Arn"])


@contextmanager
def serving(sandbox: Sandbox, issuer: Issuer, folder: Path) -> Iterator[tuple[App, Account]]:
    """A service with a draft of an account that is set up as planned."""
    with JwksServer(folder, plain=True) as server:
        documents = Documents(server)
        account = set_up(sandbox, issuer, "served", role_arn=trusting_role(sandbox, documents, "served"))
        aws = AwsSection(endpoint=sandbox.endpoint)
        with running_app(folder / "data", issuer_url=documents.url, aws=aws) as app:
            documents.keys = lambda: app.issuer.keys.known.published if app.issuer.keys else ()
            with Client(find_connection({}, app.config.data_dir)) as client:
                client.integrations.create("production", account.role_arn)
                fields = {name: getattr(account.spec, name) for name in StorageSpec.__slots__}
                client.storages.create(StorageSpec(**fields), StorageOptions("governance", 30))
            yield app, account
