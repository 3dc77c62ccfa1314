"""The service as an identity provider, over TLS, for a sandbox that verifies its tokens as AWS does.

The sandbox keeps the key set until a token names a key that isn't in it, or it is told to forget.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from botocore.exceptions import ClientError
from extaudit.v1.audit_log_service_pb2 import SearchEventsRequest
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit_cli.main import run
from extaudit_client import Client
from extaudit_client.files import find_connection
from joserfc.jwk import RSAKey
from joserfc.jws import extract_compact

from server.app import App
from server.config import GrpcSection, HttpSection, IssuerSection
from server.data_directory import DataDirectoryProblem
from server.integrations.issuer_documents import CONFIGURATION, KEY_SET
from server.integrations.key_life import Schedule
from server.integrations.web_identity import AUDIENCE, WebIdentityTokens
from tests.certificates_builder import CaShape
from tests.e2e.doctored import doctor
from tests.jwks_server import JwksServer, whole
from tests.polling import until
from tests.reserved_port import reserved_port
from tests.running_app import running_app
from tests.running_server import running_server
from tests.sandbox.running import Sandbox, running_sandbox
from tests.tokens_builder import ed_key, encoded, hmac_with, issuer, jwks, rsa_key

AS_OFTEN_AS_ASKED = Schedule(2**60, 0)
INTEGRATION = "main"


@dataclass
class World:
    """A service, a sandbox, and a role in it that trusts the service's tokens for one integration."""

    app: App
    sandbox: Sandbox
    role: str

    @property
    def tokens(self) -> WebIdentityTokens:
        return self.app.issuer.tokens

    def assume(self, token: str) -> str:
        """'' where the sandbox gives a session for the token, else AWS's error code."""
        try:
            self.sandbox.client("sts").assume_role_with_web_identity(
                RoleArn=self.role, RoleSessionName="service", WebIdentityToken=token
            )
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return ""

    def rotate(self, *, drop_old: bool = False) -> None:
        with Client(find_connection({}, self.app.config.data_dir)) as client:
            client.integrations.rotate_signing_key("as a test", drop_old=drop_old)

    def schedule(self, **changes: int) -> None:
        assert self.app.issuer.keys
        self.app.issuer.keys.schedule = dataclasses.replace(AS_OFTEN_AS_ASKED, **changes)

    def ids(self, state: str) -> list[str]:
        assert self.app.issuer.keys
        return [key.key_id for key in self.app.issuer.keys.known.keys if key.state.value == state]


def kid(token: str) -> str:
    return str(extract_compact(token.encode()).headers()["kid"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("provider")
    authority = CaShape().make()
    (folder / "ca.pem").write_bytes(authority.pem)
    (folder / "jwks.json").write_bytes(jwks(ed_key()))
    certificate, key = authority.server().write(folder, "public")
    port = reserved_port()
    url = f"https://localhost:{port}"
    http = HttpSection("127.0.0.1:0", None, None, f"127.0.0.1:{port}", certificate, key)
    listeners = GrpcSection(
        listen="localhost:0",
        token_listen="localhost:0",
        token_issuers=(issuer(jwks_url=None, jwks_file=folder / "jwks.json"),),
    )
    with (
        running_app(folder / "data", issuer_url=url, http=http, grpc=listeners) as app,
        running_sandbox(issuer_ca=folder / "ca.pem") as sandbox,
    ):
        yield World(app, sandbox, trusting_role(sandbox, app.issuer.tokens))


def trusting_role(sandbox: Sandbox, tokens: WebIdentityTokens) -> str:
    iam, host = sandbox.client("iam"), tokens.issuer.partition("://")[2]
    provider = iam.create_open_id_connect_provider(
        Url=tokens.issuer, ClientIDList=[tokens.audience], ThumbprintList=["0" * 40]
    )
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": provider["OpenIDConnectProviderArn"]},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{host}:aud": tokens.audience, f"{host}:sub": tokens.subject(INTEGRATION)}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return str(iam.create_role(RoleName="service", AssumeRolePolicyDocument=document)["Role"]["Arn"])


@dataclass
class Load:
    """Threads that have tokens signed and assume the role with each a few calls later, all the time."""

    world: World
    failures: list[str] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    _enough: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Load:
        self._threads = [threading.Thread(target=self._run) for _ in range(4)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        waiting: deque[str] = deque()
        while not self._enough.is_set():
            waiting.append(self.world.tokens.token(INTEGRATION))
            if len(waiting) < 4:
                continue
            token = waiting.popleft()
            if code := self.world.assume(token):
                self.failures.append(f"{code} of key {kid(token)}")
            self.used.append(kid(token))

    def until_used(self, key_id: str, times: int = 4) -> None:
        until(lambda: self.used.count(key_id) >= times or self.failures)


def test_no_call_fails_while_keys_rotate_by_command(world: World) -> None:
    world.schedule()
    with Load(world) as load:
        for _ in range(4):
            load.until_used(world.ids("active")[0])
            world.rotate()
            world.sandbox.forget_keys()
        load.until_used(world.ids("active")[0])
    assert load.failures == []
    assert len(set(load.used)) == 5


def test_no_call_fails_while_keys_rotate_by_age(world: World) -> None:
    world.schedule(rotation_ms=500)
    with Load(world) as load:
        until(lambda: world.sandbox.forget_keys() or len(set(load.used)) > 3 or load.failures)
    world.schedule()
    assert load.failures == []
    assert len(set(load.used)) > 3


def test_what_an_old_key_signed_counts_as_long_as_it_is_published(world: World) -> None:
    world.schedule()
    token = world.tokens.token(INTEGRATION)
    world.rotate()
    world.sandbox.forget_keys()
    assert world.assume(token) == ""
    world.schedule(retiring_ms=0)
    world.rotate()
    second = world.tokens.token(INTEGRATION)
    assert world.assume(second) == ""
    world.rotate()
    until(lambda: kid(second) in world.ids("retired"))
    world.sandbox.forget_keys()
    assert world.assume(second) == "InvalidIdentityToken"
    assert world.assume(token) == "", "that one's key was rotated when keys stayed for an hour"


def test_a_dropped_keys_tokens_are_refused_once_the_set_is_fetched_again(world: World) -> None:
    world.schedule()
    token = world.tokens.token(INTEGRATION)
    assert world.assume(token) == ""
    world.rotate(drop_old=True)
    assert world.assume(token) == "", "nobody tells AWS"
    world.sandbox.forget_keys()
    assert world.assume(token) == "InvalidIdentityToken"
    assert world.assume(world.tokens.token(INTEGRATION)) == ""
    assert world.ids("retiring") == []


def forged(world: World) -> str:
    right = extract_compact(world.tokens.token(INTEGRATION).encode())
    header, payload, key = encoded(json.dumps(right.headers()).encode()), encoded(right.payload or b""), rsa_key()
    return f"{header}.{payload}.{encoded(key.sign(f'{header}.{payload}'.encode()))}"


def with_header(world: World, **changes: Any) -> str:
    """A right token with another header, signed by nobody."""
    head, payload, signature = world.tokens.token(INTEGRATION).split(".")
    header = extract_compact(f"{head}.{payload}.{signature}".encode()).headers() | changes
    return f"{encoded(json.dumps(header).encode())}.{payload}.{signature}"


def with_public_half_as_secret(world: World) -> str:
    token = extract_compact(world.tokens.token(INTEGRATION).encode())
    assert world.app.issuer.keys
    [row] = [key for key in world.app.issuer.keys.known.keys if key.key_id == token.headers()["kid"]]
    public = RSAKey.import_key(dict(row.public_key)).as_pem(private=False)
    signed = with_header(world, alg="HS256").rpartition(".")[0]
    return f"{signed}.{encoded(hmac_with(public)(signed.encode()))}"


def at(seconds: int) -> Callable[[World], str]:
    """A token as it would have been signed then, as seconds from now."""
    return lambda world: dataclasses.replace(world.tokens, now_ms=lambda: world.tokens.now_ms() + seconds * 1000).token(
        INTEGRATION
    )


WRONG: dict[str, tuple[Callable[[World], str], str]] = {
    "forged, with the right key's id": (forged, "InvalidIdentityToken"),
    "expired": (at(-3_700), "ExpiredTokenException"),
    "of later": (at(600), "InvalidIdentityToken"),
    "for another audience": (
        lambda world: dataclasses.replace(world.tokens, audience="sts.amazonaws.com").token(INTEGRATION),
        "InvalidIdentityToken",
    ),
    "for another integration": (lambda world: world.tokens.token("other"), "AccessDenied"),
    "for an integration whose name begins alike": (lambda world: world.tokens.token("main2"), "AccessDenied"),
    "of another issuer": (
        lambda world: dataclasses.replace(world.tokens, issuer="https://localhost:1").token(INTEGRATION),
        "InvalidIdentityToken",
    ),
    "of no algorithm": (
        lambda world: with_header(world, alg="none").rpartition(".")[0] + ".",
        "InvalidIdentityToken",
    ),
    "HS256 by the public half": (with_public_half_as_secret, "InvalidIdentityToken"),
    "of an unknown key": (lambda world: with_header(world, kid="unknown"), "InvalidIdentityToken"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_token_is_refused(world: World, name: str) -> None:
    make, code = WRONG[name]
    assert world.assume(make(world)) == code
    assert world.assume(world.tokens.token(INTEGRATION)) == ""


def test_the_services_own_tokens_are_no_callers_tokens(world: World) -> None:
    credentials = grpc.ssl_channel_credentials(Path(world.app.ready["ca"]).read_bytes())
    with grpc.secure_channel(world.app.ready["grpc_token"], credentials) as channel:
        metadata = (("authorization", f"Bearer {world.tokens.token(INTEGRATION)}"),)
        with pytest.raises(grpc.RpcError) as refused:
            AuditLogServiceStub(channel).SearchEvents(SearchEventsRequest(), metadata=metadata)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_metrics_tell_of_tokens_keys_and_who_fetches_them(world: World) -> None:
    world.sandbox.forget_keys()
    assert world.assume(world.tokens.token(INTEGRATION)) == ""
    with urllib.request.urlopen(f"http://{world.app.ready['http']}/metrics", timeout=60) as answer:
        lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[0] != "#")
    for name in (
        "extaudit_issuer_tokens_signed_total",
        'extaudit_issuer_document_requests_total{document="configuration"}',
        'extaudit_issuer_document_requests_total{document="keys"}',
        "extaudit_issuer_active_key_age_seconds",
    ):
        assert float(lines[name]) > 0, name
    assert float(lines["extaudit_issuer_published_keys"]) >= 2
    with Client(find_connection({}, world.app.config.data_dir)) as client:
        [public] = [each for each in client.status().certificates if each.use == "public"]
    shown = float(lines['extaudit_certificate_expiry_timestamp_seconds{use="public"}'])
    assert shown == public.expire_time.timestamp() > 0
    assert float(lines["extaudit_issuer_key_failures_total"]) == 0


@pytest.mark.parametrize("path", [CONFIGURATION, KEY_SET])
def test_the_documents_are_on_the_public_listener_alone(world: World, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{world.app.ready['http']}{path}", timeout=60)
    assert refused.value.code == 404
    refused.value.close()


def test_the_ready_file_names_the_public_listener(world: World) -> None:
    assert f"https://{world.app.ready['http_public'].replace('127.0.0.1', 'localhost')}" == world.tokens.issuer
    assert world.tokens.audience == AUDIENCE


def test_a_restart_keeps_the_keys(tmp_path: Path) -> None:
    with running_app(tmp_path, issuer_url="https://own.test/tenant/", issuer=IssuerSection()) as app:
        assert app.issuer.keys
        before = app.issuer.keys.known.keys
        assert app.ready["http_public"] is None
        assert app.issuer.tokens.issuer == "https://own.test/tenant"
    with running_app(tmp_path, issuer_url="https://own.test/tenant/") as app:
        assert app.issuer.keys
        assert app.issuer.keys.known.keys == before
        assert kid(app.issuer.tokens.token(INTEGRATION)) in {key.key_id for key in before}


def test_a_lost_wrapping_key_keeps_the_service_from_starting_until_the_keys_are_given_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def forget() -> int:
        return run(["identity", "forget-signing-keys", "--data-dir", str(tmp_path), "--reason", "lost"])

    with running_app(tmp_path, issuer_url="https://own.test") as app:
        assert app.issuer.keys
        before = {key.key_id for key in app.issuer.keys.known.keys}
        assert forget() == 1
    assert "another extaudit serve uses this data directory" in capsys.readouterr().err
    (tmp_path / "identity" / "signing-keys.key").unlink()
    with (
        pytest.raises(DataDirectoryProblem, match="is not there; put back"),
        running_app(tmp_path, issuer_url="https://own.test"),
    ):
        pass
    assert not (tmp_path / "identity" / "signing-keys.key").exists()
    assert forget() == 0
    assert capsys.readouterr().out == "2 signing keys are given up; the next start makes others\n"
    with running_app(tmp_path, issuer_url="https://own.test") as app:
        assert app.issuer.keys
        assert len(app.issuer.keys.known.published) == 2
        assert before.isdisjoint(key.key_id for key in app.issuer.keys.known.published)
        assert app.issuer.tokens.token(INTEGRATION)


def test_the_doctor_compares_what_is_published_with_the_state(tmp_path: Path) -> None:
    port = reserved_port()

    def configured(name: str, url: str) -> str:
        path = tmp_path / name
        path.write_text(f'data_dir = "data"\nissuer_url = "{url}"\n[http]\npublic_listen = "127.0.0.1:{port}"\n')
        return str(path)

    def found(config: str) -> set[str]:
        return doctor(tmp_path, "--config", config, "--check", "issuer").names - {"issuer_not_for_aws"}

    right = configured("right.toml", f"http://127.0.0.1:{port}")
    with running_server(tmp_path, "--config", right) as server, JwksServer(tmp_path, b"{}", plain=True) as other:
        assert found(right) == set()
        with server.client() as client:
            client.integrations.rotate_signing_key("stolen", drop_old=True)
        assert found(right) == set()
        assert found(configured("dead.toml", f"http://127.0.0.1:{reserved_port()}")) == {"issuer_unreachable"}
        stranger = other.url.removesuffix("/keys?of=1")
        other.answer = lambda handler: whole(handler, b'{"keys":[]}')
        assert found(configured("stranger.toml", stranger)) == {"issuer_documents_differ"}
