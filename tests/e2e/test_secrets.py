"""No secret leaks: canaries in keys, tokens, events and searches are in no log, metric, error, status or crash."""

from __future__ import annotations

import base64
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from joserfc.jwk import RSAKey

from server.integrations.key_wrapping import WrappingKey
from server.state.database import database_path
from server.state.examining import examining
from tests.e2e.canaries import Caller, Canaries
from tests.otlp_collector import Collector, collecting
from tests.polling import until
from tests.running_server import ANY_PORT, RunningServer, extaudit
from tests.tokens_builder import AUDIENCE, ISSUER, ed_key, jwks

RAW_KEYS = {
    "page-token.key",
    "known-uids.key",
    "upload-id.key",
    "session-token.key",
    "signing-keys.key",
    "batch-records.key",
}
"""Keys that are bytes which no output could show as they are."""
CONFIG = """
issuer_url = "https://own.test"
[issuer]
publish_ahead_seconds = 0
[http]
public_listen = "127.0.0.1:0"
[grpc]
token_listen = "127.0.0.1:0"
[[grpc.token_issuers]]
issuer = "{issuer}"
audience = "{audience}"
jwks_file = "{jwks}"
"""


@contextmanager
def channel_to(ready: dict[str, Any], address: str, *, certificate: bool = True) -> Iterator[grpc.Channel]:
    names = ("ca", "key", "cert") if certificate else ("ca",)
    pems = [Path(ready[name]).read_bytes() for name in names]
    target = address.replace("127.0.0.1", "localhost")
    with grpc.secure_channel(target, grpc.ssl_channel_credentials(*pems)) as channel:
        yield channel


def configured(folder: Path) -> tuple[Path, Any]:
    key = ed_key()
    (folder / "jwks.json").write_bytes(jwks(key))
    config = folder / "extaudit.toml"
    config.write_text(CONFIG.format(issuer=ISSUER, audience=AUDIENCE, jwks=folder / "jwks.json"))
    return config, key


@pytest.mark.parametrize(
    ("level", "end"),
    [("debug", signal.SIGTERM), ("debug", signal.SIGABRT), ("error", signal.SIGTERM)],
    ids=["all of it, and a stop", "all of it, and a crash", "errors alone"],
)  # each level says what the ones above it say, and more
def test_nothing_that_a_server_says_holds_a_secret(tmp_path: Path, level: str, end: signal.Signals) -> None:
    with collecting() as collector:
        said_by_a_server(tmp_path, level, end, collector)


def said_by_a_server(tmp_path: Path, level: str, end: signal.Signals, collector: Collector) -> None:
    canaries, caller = Canaries(), Caller()
    config, key = configured(tmp_path)
    flags = ["--config", str(config), "--log-level", level, "--traces-endpoint", f"http://{collector.address}"]
    with RunningServer(tmp_path, *flags, "--traces-ratio", "1").until_killed() as server:
        ready = server.wait_until_ready()
        for path in (server.data_dir / "identity").glob("*.key"):
            if path.name not in RAW_KEYS:
                canaries.plant_key(path)
        plant_signing_keys(server.data_dir, canaries)
        rotate_signing_key(server, canaries)
        with channel_to(ready, ready["grpc"]) as channel:
            caller.events(channel, canaries)
            caller.reads(channel, canaries)
            caller.recordings(channel, canaries)
            caller.with_token(channel, canaries.plant("token on the listener of certificates"))
            caller.status(channel)
        with channel_to(ready, ready["grpc_token"], certificate=False) as channel:
            tokens = {"right": key.token(), "of a wrong audience": key.token(aud="others"), "cut": key.token()[:-9]}
            tokens["no token"] = canaries.plant("bearer")
            for what, token in tokens.items():
                canaries.planted[f"token {what}"] = token.rpartition(".")[2]
                caller.with_token(channel, token)
        change_files(server, canaries)
        caller.http(ready["http"])
        caller.public_documents(ready["http_public"])
        wanted = {"extaudit.v1.AuditLogService/EmitEvents", "search.read"}
        until(lambda: wanted <= {each.name for each in collector.spans})
        os.kill(ready["pid"], end)
        server.wait()
        assert canaries.seen_in([server.said, *caller.told, str(ready), *map(str, collector.requests)]) == []
        assert len(caller.told) > 20, "the calls were told something"
        if level == "debug":
            assert "planted-request-id" in server.said, "what is said is looked at"


def plant_signing_keys(data_dir: Path, canaries: Canaries) -> None:
    """The private halves of the signing keys as they are encrypted, opened, and as numbers of a JWK; the state database
    has them encrypted alone."""
    raw = (data_dir / "identity" / "signing-keys.key").read_bytes()
    canaries.planted |= {"wrapping key": raw.hex(), "wrapping key in base64": base64.b64encode(raw).decode()}
    with examining(database_path(data_dir)) as state:
        keys = [key for key in state.signing_keys() if key.wrapped_key]
    assert keys
    for key in keys:
        opened = WrappingKey(raw).unwrap(key.key_id, key.wrapped_key)
        members = RSAKey.import_key(opened).as_dict(private=True)
        private = {name: str(members[name]) for name in ("d", "p", "q", "dp", "dq", "qi")}
        canaries.planted |= {f"{name} of {key.key_id}": text for name, text in private.items()}
        canaries.planted[f"wrapped {key.key_id}"] = key.wrapped_key
        kept = b"".join(path.read_bytes() for path in data_dir.glob("state.db*"))
        assert opened not in kept
        assert not [name for name, text in private.items() if text.encode() in kept]
        assert key.wrapped_key.encode() in kept


def rotate_signing_key(server: RunningServer, canaries: Canaries) -> None:
    """Rotate in both ways; what there is after that is planted too."""
    with server.client() as client:
        client.integrations.rotate_signing_key("as planned")
        client.integrations.rotate_signing_key("leaked", drop_old=True)
    plant_signing_keys(server.data_dir, canaries)


def change_files(server: RunningServer, canaries: Canaries) -> None:
    """Put secrets where a file is read again and refused."""
    identity = server.data_dir / "identity"
    with (identity / "server.key").open("a") as file:
        file.write(canaries.plant("what stands behind a key"))
    (identity / "server.crt").write_text(canaries.plant("what stands for a certificate"))
    (server.data_dir / "roles" / "broken.yaml").write_text(f"kind: [{canaries.plant('broken role file')}")
    with server.client() as client:
        until(lambda: {"certificate_refused", "roles_refused"} <= {each.name for each in client.status().problems})


@pytest.mark.parametrize(
    "place", ["--grpc-listen", "--grpc-certificate", "--log-level", "EXTAUDIT_GRPC_LISTEN", "DATABASE_URL", "file"]
)
def test_a_start_that_fails_does_not_repeat_what_it_was_given(tmp_path: Path, place: str) -> None:
    canaries = Canaries()
    url = f"postgres://user:{canaries.plant('password')}@db.test/extaudit"
    (tmp_path / "extaudit.toml").write_text(f'[grpc]\nlisten = "{url}"\n')
    flags, variables = [*ANY_PORT], {}
    if place.startswith("--"):
        flags += [place, url]
    elif place == "file":
        flags = ["--config", str(tmp_path / "extaudit.toml")]
    else:
        variables = {place: url}
        flags = ["--http-listen", "127.0.0.1:0", "--grpc-certificate", "missing.crt"]
    run = extaudit(tmp_path, "serve", "--data-dir", str(tmp_path / "data"), *flags, variables=variables)
    assert run.returncode != 0
    assert run.stderr
    assert canaries.seen_in([run.stdout.decode(), run.stderr.decode()]) == []
