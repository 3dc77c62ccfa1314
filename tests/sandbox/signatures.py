"""Signature Version 4: who signed is found out here, and that it's fresh, unexpired and theirs."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from tests.sandbox.asked import Asked, Scope
from tests.sandbox.callers import find_caller
from tests.sandbox.refusals import Refused, unauthorised

SKEW = timedelta(minutes=15)
UNSIGNED_OPERATIONS = frozenset({("sts", "AssumeRoleWithWebIdentity"), ("sts", "AssumeRoleWithSAML")})


def identify(asked: Asked) -> None:
    """Set `asked.caller`, or refuse; S3 lets bucket policies decide about requests without signature."""
    scope = asked.scope
    if scope is None:
        if (asked.service, asked.operation) in UNSIGNED_OPERATIONS or asked.service == "s3":
            return
        raise unauthorised("MissingAuthenticationToken", "Request is missing Authentication Token", asked.service)
    caller = find_caller(scope.access_key)
    token = asked.header("X-Amz-Security-Token")
    if caller is None or (caller.session is None and token):
        raise unauthorised(
            "InvalidClientTokenId", "The security token included in the request is invalid.", asked.service
        )
    if caller.session is not None and not hmac.compare_digest(token, caller.session.session_token):
        word = "InvalidToken" if asked.service == "s3" else "InvalidClientTokenId"
        raise unauthorised(word, "The security token included in the request is invalid.", asked.service)
    _check_date(asked, scope)
    if not hmac.compare_digest(signature(asked, scope, caller.secret), scope.signature):
        raise unauthorised(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
            asked.service,
        )
    _check_payload(asked)
    if caller.expires is not None and caller.expires <= datetime.now(UTC).replace(tzinfo=None):
        raise unauthorised("ExpiredToken", "The security token included in the request is expired", asked.service)
    asked.caller = caller


def signature(asked: Asked, scope: Scope, secret: str) -> str:
    """The signature that the holder of `secret` would have put on the request."""
    path = asked.request.raw_path if asked.service == "s3" else quote(asked.request.raw_path, safe="/~")
    query = "&".join(sorted(_pairs(asked.environ.get("QUERY_STRING", ""))))
    headers = "".join(f"{name}:{' '.join(asked.header(name).split())}\n" for name in scope.signed_headers)
    payload = asked.header("X-Amz-Content-SHA256") or hashlib.sha256(asked.body).hexdigest()
    canonical = "\n".join([asked.request.method, path, query, headers, ";".join(scope.signed_headers), payload])
    where = f"{scope.date}/{scope.region}/{scope.service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join(["AWS4-HMAC-SHA256", asked.header("X-Amz-Date"), where, digest])
    key = f"AWS4{secret}".encode()
    for part in (scope.date, scope.region, scope.service, "aws4_request"):
        key = _mac(key, part)
    return _mac(key, to_sign).hex()


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _pairs(query: str) -> list[str]:
    return [pair if "=" in pair else f"{pair}=" for pair in query.split("&") if pair]


def _check_date(asked: Asked, scope: Scope) -> None:
    try:
        signed = datetime.strptime(asked.header("X-Amz-Date"), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        signed = datetime.fromtimestamp(0, UTC)
    if abs(signed - datetime.now(UTC)) <= SKEW and asked.header("X-Amz-Date").startswith(scope.date):
        return
    if asked.service == "s3":
        message = "The difference between the request time and the current time is too large."
        raise Refused("RequestTimeTooSkewed", message, 403)
    raise unauthorised("SignatureDoesNotMatch", "Signature expired or not yet current", asked.service)


def _check_payload(asked: Asked) -> None:
    stated = asked.header("X-Amz-Content-SHA256")
    if len(stated) == 64 and stated != hashlib.sha256(asked.body).hexdigest():
        message = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise Refused("XAmzContentSHA256Mismatch", message)
