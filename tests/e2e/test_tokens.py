"""A whole service that takes tokens: from the issuer's key server to the receipt, by client and command line."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from extaudit_client import Client, ConnectionFailed, ExtauditError, Query
from extaudit_client.files import find_connection

from tests.jwks_server import JwksServer, whole
from tests.polling import until
from tests.running_server import RunningServer, extaudit, running_server
from tests.tokens_builder import AUDIENCE, ISSUER, SigningKey, ec_key, jwks

CONFIG = """\
[grpc]
token_listen = "127.0.0.1:0"

[[grpc.token_issuers]]
issuer = "{issuer}"
audience = "{audience}"
jwks_url = "{url}"
jwks_ca = "{ca}"
traits_claims = ["team"]
"""


@dataclass
class World:
    """A service that trusts an issuer, its key server, and a file with a token."""

    folder: Path
    keys: JwksServer
    key: SigningKey
    server: RunningServer

    @property
    def token_file(self) -> Path:
        return self.folder / "token"

    def put_token(self, token: str) -> str:
        self.token_file.touch(0o600)
        self.token_file.write_text(token)
        return token

    def client(self) -> Client:
        return Client(find_connection({}, self.server.data_dir, token_file=self.token_file))

    def extaudit(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        # A flag, since beside --data-dir no variable counts.
        flags = ["--data-dir", str(self.server.data_dir), "--token-file", str(self.token_file)]
        return extaudit(self.folder, *arguments, *flags)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    key = ec_key("one")
    with JwksServer(tmp_path, jwks(key)) as keys:
        config = tmp_path / "extaudit.toml"
        config.write_text(CONFIG.format(issuer=ISSUER, audience=AUDIENCE, url=keys.url, ca=keys.ca))
        with running_server(tmp_path, "--config", str(config), "--log-level", "debug") as server:
            yield World(tmp_path, keys, key, server)


def test_a_token_emits_and_searches_and_the_receipt_names_it(world: World) -> None:
    world.put_token(world.key.token(jti="token-4711"))
    with world.client() as client:
        client.emit(b'{"event":"a.b","uid":"u-1"}')
        [row] = client.search(Query(types=("a.b",))).rows
        emitter = row.receipts[0].emitter
    assert emitter is not None
    assert (emitter.kind, emitter.name) == ("user", f"alice@{ISSUER}")
    assert (emitter.trust_anchor, emitter.certificate_serial, emitter.token_id) == (ISSUER, "", "token-4711")


def test_receipts_of_tokens_outlast_a_batch_and_a_restart(tmp_path: Path) -> None:
    key = ec_key("one")
    keys_file = tmp_path / "keys.json"
    keys_file.write_bytes(jwks(key))
    config = tmp_path / "extaudit.toml"
    text = CONFIG.replace('jwks_url = "{url}"\njwks_ca = "{ca}"', 'jwks_file = "{file}"')
    config.write_text(text.format(issuer=ISSUER, audience=AUDIENCE, file=keys_file) + "[journal]\ncut_events = 2\n")
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text(key.token(jti="token-4711"))
    for uids in (("1", "2", "3"), ()):
        with running_server(tmp_path, "--config", str(config)) as server:
            with Client(find_connection({}, server.data_dir, token_file=token)) as client:
                for uid in uids:
                    client.emit(json.dumps({"event": "a.b", "uid": uid}).encode())
                rows = client.search(Query(types=("a.b",))).rows
            assert [row.receipts[0].emitter.token_id for row in rows if row.receipts[0].emitter] == ["token-4711"] * 3


def test_the_file_is_read_for_every_call(world: World) -> None:
    world.put_token(world.key.token())
    with world.client() as client:
        client.search(Query())
        world.put_token(world.key.token(iat=1_000, exp=2_000))
        with pytest.raises(ExtauditError) as caught:
            client.search(Query())
        assert (caught.value.code, caught.value.reason) == ("UNAUTHENTICATED", "TOKEN_EXPIRED")
        world.put_token(world.key.token())
        client.search(Query())
        world.token_file.chmod(0o644)
        with pytest.raises(ConnectionFailed, match="chmod 600"):
            client.search(Query())
        with pytest.raises(ConnectionFailed, match="chmod 600"):
            list(client.emit_stream([b'{"event":"a.b"}']))


def test_the_command_line_takes_the_token_from_a_file_and_status_tells_of_the_issuer(world: World) -> None:
    world.put_token(world.key.token(roles=["auditor", "editor", "importer"]))
    assert world.extaudit("events", "emit", "--sample").returncode == 0
    status = world.extaudit("status", "--output", "json")
    [issuer] = json.loads(status.stdout)["token_issuers"]
    assert (issuer["issuer"], issuer["key_ids"], issuer["last_error"]) == (ISSUER, ["one"], "")
    assert issuer["fetch_time"]
    assert ISSUER in world.extaudit("status").stdout.decode()


def test_a_failed_fetch_is_told_in_status_and_the_keys_there_are_go_on(world: World) -> None:
    with world.client() as client:
        world.put_token(world.key.token(roles=["editor"]))
        assert client.status().problems == ()
        world.keys.answer = lambda handler: whole(handler, b"", 500)
        world.put_token(ec_key("unknown").token())
        with pytest.raises(ExtauditError):
            client.status()
        world.put_token(world.key.token(roles=["editor"]))
        until(lambda: client.status().problems)  # the keys may still be on their way when a call is given up
        status = client.status()
    [problem] = status.problems
    assert problem.name == "token_keys"
    assert problem.description.startswith(f"{ISSUER}: the key set's server answered with status 500")
    assert (status.serving, status.token_issuers[0].key_ids) == (True, ("one",))
    assert status.token_issuers[0].last_error == "the key set's server answered with status 500"


def test_no_token_is_in_any_log_metric_error_or_status(world: World) -> None:
    good = world.put_token(world.key.token(sub="alice", roles=["auditor", "editor"], secret="canary-4711"))
    outputs = [world.extaudit("status", "--output", "json"), world.extaudit("events", "search", "--type", "nosuch")]
    bad = [good[:-6], world.key.token(aud="other"), ec_key("one").token(), "garbage-4711", good + "." + good]
    for token in bad:
        world.put_token(token)
        outputs.append(world.extaudit("events", "search"))
        assert outputs[-1].returncode == 1
    ready = world.server.wait_until_ready()
    with urllib.request.urlopen(f"http://{ready['http']}/metrics", timeout=60) as answer:
        metrics = answer.read().decode()
    assert f'extaudit_token_issuer_keys{{issuer="{ISSUER}"}} 1.0' in metrics
    said = world.server.said + metrics + b"".join(each.stdout + each.stderr for each in outputs).decode()
    assert "UNAUTHENTICATED" in said
    secrets = {part for token in (good, *bad) for part in token.split(".") if len(part) > 10} - {"garbage-4711"}
    assert len(secrets) > 6
    assert [secret for secret in (*secrets, "canary-4711", "garbage-4711") if secret in said] == []


def test_a_listener_that_is_not_asked_for_is_not_there(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        assert server.wait_until_ready()["grpc_token"] is None
        with pytest.raises(ConnectionFailed, match="no listener for tokens is known"):
            find_connection({}, server.data_dir, token_file=tmp_path / "token")


def test_a_service_that_would_trust_its_own_tokens_does_not_start(tmp_path: Path) -> None:
    config = tmp_path / "extaudit.toml"
    own = f'issuer_url = "{ISSUER}"\n'
    config.write_text(own + CONFIG.format(issuer=ISSUER, audience=AUDIENCE, url="https://id2.test", ca="nosuch"))
    server = RunningServer(tmp_path, "--config", str(config))
    assert server.wait() == 2
    assert "grpc.token_issuers[0].issuer (file): is the service's own issuer" in server.said
