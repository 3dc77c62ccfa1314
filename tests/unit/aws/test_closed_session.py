"""Clients take nothing from their surroundings: every variable and file of AWS's tools is a trap here."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from server.storage.aws.clients import AwsClients, AwsSettings
from server.storage.aws.errors import AwsError, CredentialsUnavailable
from tests.aws_traps import set_traps

STS = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAOURS</AccessKeyId><SecretAccessKey>s</SecretAccessKey>
<SessionToken>ours</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>
<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/extaudit</Arn><AssumedRoleId>x</AssumedRoleId>
</AssumedRoleUser></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


class Recorder:
    """An endpoint that writes down who called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.answer = STS
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                recorder.calls.append((self.path, self.headers.get("Authorization", ""), body))
                answer = recorder.answer.encode() if "WebIdentityToken" in body else b"<ListAllMyBucketsResult/>"
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_PUT = do_POST = do_CONNECT = _any  # noqa: N815 -- the library calls them so

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def ours() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.close()


@pytest.fixture
def trap() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.close()


def test_clients_ask_where_the_settings_say_with_credentials_of_their_own(
    ours: Recorder, trap: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_traps(monkeypatch.setenv, tmp_path, trap.url)
    clients = AwsClients(
        "us-west-2", "arn:aws:iam::123456789012:role/r", lambda: "token", AwsSettings(endpoint=ours.url)
    )
    clients.s3.list_buckets()
    clients.close()
    assert trap.calls == []
    [exchange, listing] = ours.calls
    assert "DurationSeconds=3600" in exchange[2]
    assert exchange[1] == ""  # the token is the proof: nothing is signed
    assert "Credential=ASIAOURS/" in listing[1]
    assert "/us-west-2/s3/" in listing[1]


def test_without_a_token_there_is_nothing_to_sign_with(
    ours: Recorder, trap: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_traps(monkeypatch.setenv, tmp_path, trap.url)
    ours.answer = "<broken/>"
    clients = AwsClients(
        "us-west-2", "arn:aws:iam::123456789012:role/r", lambda: "token", AwsSettings(endpoint=ours.url)
    )
    with pytest.raises((AwsError, CredentialsUnavailable)):
        clients.s3.list_buckets()
    clients.close()
    assert trap.calls == []


def test_s3_has_an_endpoint_of_its_own(ours: Recorder, trap: Recorder) -> None:
    settings = AwsSettings(endpoint=trap.url, s3_endpoint=ours.url)
    clients = AwsClients("us-west-2", "arn:aws:iam::123456789012:role/r", lambda: "token", settings)
    clients.s3.list_buckets()
    clients.close()
    assert [len(trap.calls), len(ours.calls)] == [1, 1]


def test_without_an_endpoint_each_service_is_aws_own_of_the_region_checked_against_the_usual_cas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_traps(monkeypatch.setenv, tmp_path, "http://127.0.0.1:1")
    clients = AwsClients("eu-central-1", "arn:aws:iam::123456789012:role/r", lambda: "token", AwsSettings())
    made = [each._client for each in (clients.s3, clients.athena, clients.glue, clients.sts)]
    urls = [each.meta.endpoint_url for each in made]
    assert {each._endpoint.http_session._verify for each in made} == {True}
    clients.close()
    assert urls == [
        "https://s3.eu-central-1.amazonaws.com",
        "https://athena.eu-central-1.amazonaws.com",
        "https://glue.eu-central-1.amazonaws.com",
        "https://sts.eu-central-1.amazonaws.com",
    ]
