"""A token issuer with its documents, and an account that trusts it, for tests of the sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.jwks_server import JwksServer, whole
from tests.sandbox.running import Sandbox
from tests.tokens_builder import SigningKey, jwks, rsa_key

AUDIENCE = "discover.teleport"
SUBJECT = "integration:main"


@dataclass
class Issuer:
    """An issuer at `url`. `document`, where it isn't empty, is served in place of its own configuration."""

    url: str
    key: SigningKey = field(default_factory=rsa_key)
    document: dict[str, Any] = field(default_factory=dict)
    keys: bytes = b""
    fetched: list[str] = field(default_factory=list)
    """Paths, in order."""

    @property
    def host(self) -> str:
        return self.url.partition("://")[2]

    def token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A right token but for these changes."""
        right = {"iss": self.url, "aud": AUDIENCE, "sub": SUBJECT}
        return self.key.token(header, **{**right, **claims})

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.fetched.append(handler.path)
        if handler.path == "/.well-known/openid-configuration":
            found = {"issuer": self.url, "jwks_uri": f"{self.url}/.well-known/jwks-oidc"}
            whole(handler, json.dumps(self.document or found).encode())
        elif handler.path == "/.well-known/jwks-oidc":
            whole(handler, self.keys or jwks(self.key))
        else:
            whole(handler, b"", 404)


@contextmanager
def serving_issuer(folder: Path, *, plain: bool = True) -> Iterator[tuple[Issuer, JwksServer]]:
    """Serve an issuer's documents until the end of the block."""
    with JwksServer(folder, plain=plain) as server:
        issuer = Issuer(server.url.removesuffix("/keys?of=1"))
        server.answer = issuer.answer
        yield issuer, server


def trust_policy(provider_arn: str, host: str, *, subject: Any = SUBJECT, operator: str = "StringEquals") -> str:
    """Of a role that holders of this issuer's tokens may assume."""
    condition = {"StringEquals": {f"{host}:aud": AUDIENCE}}
    condition.setdefault(operator, {})[f"{host}:sub"] = subject
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": provider_arn},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": condition,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def trusting_role(sandbox: Sandbox, issuer: Issuer, name: str, **trust: Any) -> str:
    """The ARN of a new role that trusts the issuer, whose provider is made where there is none."""
    iam = sandbox.client("iam")
    arn = f"arn:{sandbox.partition}:iam::{sandbox.account_id}:oidc-provider/{issuer.host}"
    known = {each["Arn"] for each in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]}
    if arn not in known:
        iam.create_open_id_connect_provider(Url=issuer.url, ClientIDList=[AUDIENCE], ThumbprintList=["0" * 40])
    document = trust_policy(arn, issuer.host, **trust)
    return str(iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"])
