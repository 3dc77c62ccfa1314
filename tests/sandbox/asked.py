"""What one HTTP request asks for: service, operation, parameters, and the signature that came with it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from werkzeug.exceptions import NotFound

from tests.sandbox.callers import Caller
from tests.sandbox.refusals import JSON_SERVICES, Refused

SERVICES = ("athena", "glue", "iam", "kms", "s3", "sts")
AS_TLS = "sandbox.as-tls"
"""Set in the environment of requests that came without TLS and are taken for ones that came with it."""


@dataclass(frozen=True)
class Scope:
    """The `Authorization` header, taken apart."""

    access_key: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str


@dataclass
class Asked:
    """One request. `scope` and `caller` are None where it isn't signed."""

    environ: dict[str, Any]
    request: Request
    body: bytes
    scope: Scope | None
    service: str
    operation: str
    params: dict[str, Any]
    caller: Caller | None = None
    kept: dict[str, Any] = field(default_factory=dict)
    """What a check found out that a later step needs."""

    @property
    def region(self) -> str:
        """The region the request is signed for."""
        return self.scope.region if self.scope else "us-east-1"

    @property
    def secure(self) -> bool:
        """Whether it came over TLS, or is to be taken so."""
        return str(self.environ.get("wsgi.url_scheme")) == "https" or AS_TLS in self.environ

    def header(self, name: str) -> str:
        """A header's value, or nothing."""
        return str(self.request.headers.get(name, ""))

    def text(self, name: str) -> str:
        """A parameter's text, or nothing."""
        value = self.params.get(name)
        return "" if value is None else str(value)

    def rewound(self) -> dict[str, Any]:
        """The environment for moto, with the body to be read."""
        self.environ["wsgi.input"] = io.BytesIO(self.body)
        self.environ["CONTENT_LENGTH"] = str(len(self.body))
        return self.environ


def read_request(environ: dict[str, Any]) -> Asked:
    """Read the whole request; raises Refused where no operation of a service that the sandbox has is asked for."""
    body = _read_body(environ)
    request = Request(environ, populate_request=False)
    scope = read_scope(str(request.headers.get("Authorization", "")))
    service = scope.service if scope else _unsigned_service(request, body)
    if service not in SERVICES:
        raise Refused("UnrecognizedServiceException", f"The sandbox has no service {service!r}.", 404)
    try:
        operation, labels = get_service_router(service).match(request)
    except (NotFound, NotImplementedError):
        raise Refused("UnknownOperationException", f"No operation of {service} is asked for.", 404) from None
    return Asked(environ, request, body, scope, service, operation.name, _params(request, body, operation, labels))


def read_scope(header: str) -> Scope | None:
    """Take an `Authorization` header of Signature Version 4 apart; None where it is none."""
    algorithm, _, rest = header.partition(" ")
    if algorithm != "AWS4-HMAC-SHA256":
        return None
    fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    parts = fields.get("Credential", "").split("/")
    if len(parts) != 5:
        return None
    signed = tuple(fields.get("SignedHeaders", "").split(";"))
    return Scope(parts[0], parts[1], parts[2], parts[3].lower(), signed, fields.get("Signature", ""))


def _read_body(environ: dict[str, Any]) -> bytes:
    length = environ.get("CONTENT_LENGTH")
    if environ.pop("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
        body = environ["wsgi.input"].read()
    else:
        body = environ["wsgi.input"].read(int(length)) if length else b""
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    # moto would take another account's word for it
    environ.pop("HTTP_X_MOTO_ACCOUNT_ID", None)
    return bytes(body)


def _unsigned_service(request: Request, body: bytes) -> str:
    if target := request.headers.get("X-Amz-Target", ""):
        return {"AmazonAthena": "athena", "AWSGlue": "glue", "TrentService": "kms"}.get(target.partition(".")[0], "")
    if (request.content_type or "").startswith("application/x-www-form-urlencoded"):
        version = parse_qs(body.decode("utf-8", "replace")).get("Version", [""])[0]
        return {"2011-06-15": "sts", "2010-05-08": "iam"}.get(version, "s3")
    return "s3"


def _params(request: Request, body: bytes, operation: Any, labels: dict[str, Any]) -> dict[str, Any]:
    if operation.service_model.service_name in JSON_SERVICES:
        try:
            found = json.loads(body or b"{}")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Refused("SerializationException", "The body isn't a JSON object.")
        return found
    protocol = determine_request_protocol(operation.service_model, request.content_type)
    parser = PROTOCOL_PARSERS[protocol](operation)
    values = request.args if operation.service_model.service_name == "s3" else request.values
    parsed = parser.parse(
        {
            "method": request.method,
            "values": values,
            "headers": request.headers,
            "body": body,
            "url_path": request.path,
            "url_params": labels,
        }
    )
    return {name: value for name, value in parsed.items() if value is not None}
