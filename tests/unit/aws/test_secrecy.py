"""Credentials and tokens are in no log of any level, in no error and in no repr, whatever AWS answers."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from server.observability.logs import OWN_LOGGERS, configure
from server.storage.aws.clients import AwsClients
from server.storage.aws.errors import AwsError
from server.storage.aws.session import AwsSettings

SECRETS = ("canary-access-key", "canary-secret-key", "canary-session-token", "canary-web-identity")
SESSION = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>canary-access-key</AccessKeyId>
<SecretAccessKey>canary-secret-key</SecretAccessKey><SessionToken>canary-session-token</SessionToken>
<Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""
REFUSED = "<Error><Code>canary-secret-key: no</Code><Message>canary-session-token canary-access-key</Message></Error>"


class Echo(BaseHTTPRequestHandler):
    """An AWS that gives a session once, and repeats what it was told in every error."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, SESSION)

    def do_GET(self) -> None:
        self._answer(403, REFUSED)

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """What the service's logs say at their most talkative."""
    root, stream = logging.getLogger(), io.StringIO()
    before = list(root.handlers)
    levels = {logger: logger.level for logger in (root, *map(logging.getLogger, OWN_LOGGERS))}
    handler = configure("debug", "json", stream)
    yield stream
    root.removeHandler(handler)
    for each in before:
        root.addHandler(each)
    for logger, level in levels.items():
        logger.setLevel(level)


def test_what_aws_gives_and_is_given_is_told_to_nobody(endpoint: str, said: io.StringIO) -> None:
    settings = AwsSettings(endpoint=endpoint, s3_path_style="always", attempts=2)
    clients = AwsClients("us-west-2", "arn:aws:iam::111122223333:role/r", lambda: "canary-web-identity", settings)
    with pytest.raises(AwsError) as refused:
        clients.s3.list_objects_v2(Bucket="bucket")
    logging.getLogger("server").error("a call failed", exc_info=refused.value)
    session = clients.credentials.current()
    clients.close()
    assert (session.secret_key, refused.value.code) == ("canary-secret-key", "Unreadable")
    told = [said.getvalue(), str(refused.value), repr(refused.value), repr(refused.value.__cause__)]
    told += [repr(each) for each in (clients, clients.credentials, session, refused.value.__dict__)]
    assert "a call failed" in told[0]
    assert [secret for secret in SECRETS for each in told if secret in each] == []
