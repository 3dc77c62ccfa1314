"""Errors as AWS says them: a code, a status and a message, written in the protocol of the service asked."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from xml.sax.saxutils import escape

JSON_SERVICES = frozenset({"athena", "glue", "kms"})


class Refused(Exception):
    """Ends a request with an AWS error."""

    def __init__(
        self, code: str, message: str, status: int = 400, *, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.headers = headers
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, whole."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""

    def header(self, name: str) -> str:
        """The value of a header, or nothing."""
        return next((value for each, value in self.headers if each.lower() == name.lower()), "")


def json_answer(fields: object, status: int = 200) -> Answer:
    """An answer of a service that speaks JSON."""
    headers = [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-RequestId", str(uuid.uuid4()))]
    return Answer(status, headers, json.dumps(fields).encode())


def xml_answer(body: str, status: int = 200) -> Answer:
    """An answer of a service that speaks XML."""
    headers = [("Content-Type", "text/xml"), ("x-amzn-RequestId", str(uuid.uuid4()))]
    return Answer(status, headers, f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode())


def refusal(refused: Refused, service: str, method: str = "GET") -> Answer:
    """The error as the service's clients read it; HEAD has no body, as with AWS."""
    if service in JSON_SERVICES:
        answer = json_answer({"__type": refused.code, "message": refused.message}, refused.status)
        return Answer(answer.status, [*answer.headers, ("x-amzn-ErrorType", refused.code)], answer.body)
    code, message = escape(refused.code), escape(refused.message)
    if service == "s3":
        request = uuid.uuid4().hex[:16].upper()
        body = f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{request}</RequestId></Error>"
        answer = xml_answer(body, refused.status)
        headers = [("Content-Type", "application/xml"), ("x-amz-request-id", request), *refused.headers]
        return Answer(refused.status, headers, b"" if method == "HEAD" else answer.body)
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return xml_answer(f"<ErrorResponse>{error}<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>", refused.status)


_IN_JSON = {
    "AccessDenied": ("AccessDeniedException", 400),
    "ExpiredToken": ("ExpiredTokenException", 400),
    "InvalidClientTokenId": ("UnrecognizedClientException", 400),
    "SignatureDoesNotMatch": ("InvalidSignatureException", 400),
    "MissingAuthenticationToken": ("MissingAuthenticationTokenException", 400),
}
_IN_S3 = {
    "ExpiredToken": ("ExpiredToken", 400),
    "InvalidClientTokenId": ("InvalidAccessKeyId", 403),
    "MissingAuthenticationToken": ("AccessDenied", 403),
}


def unauthorised(code: str, message: str, service: str) -> Refused:
    """A refusal of who asks, given in STS's word for it, in the service's own word and status."""
    words = _IN_JSON if service in JSON_SERVICES else _IN_S3 if service == "s3" else {}
    word, status = words.get(code, (code, 403))
    return Refused(word, message, status)
