"""An endpoint that answers as AWS's query services do, for what a sandbox never answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

IDENTITY = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:{partition}:iam::{account}:user/root-of-all</Arn><UserId>AIDA</UserId><Account>{account}</Account>
</GetCallerIdentityResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"""
ERROR = """<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>
<Message>User: arn:aws:secret-text</Message></Error>
<RequestId>r-2</RequestId></ErrorResponse>"""


@dataclass
class Answers:
    """Answers each operation with its own text; `asked` are the operations in order."""

    url: str = ""
    texts: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def refuse(self, operation: str, code: str, status: int = 403) -> None:
        self.texts[operation] = status, ERROR.format(code=code)

    def identify(self, account: str, partition: str = "aws") -> None:
        self.texts["GetCallerIdentity"] = 200, IDENTITY.format(account=account, partition=partition)


@contextmanager
def aws_answers() -> Iterator[Answers]:
    """Serve on a free port of loopback."""
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            [operation] = parse_qs(body)["Action"]
            answers.asked.append(operation)
            status, text = answers.texts[operation]
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        answers.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield answers
        finally:
            server.shutdown()
            thread.join()
