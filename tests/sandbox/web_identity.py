"""AssumeRoleWithWebIdentity: a session for who has a token that the role trusts. moto takes any token and any role."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from moto.iam.models import iam_backends
from moto.sts.models import AssumedRole, sts_backends

from tests.sandbox.asked import Asked
from tests.sandbox.conditions import Context
from tests.sandbox.issuers import Issuers, decode, unverifiable
from tests.sandbox.policies import Permission, Question, allowed, denied
from tests.sandbox.refusals import Answer, Refused, xml_answer

ACTION = "sts:AssumeRoleWithWebIdentity"
_ROLE = re.compile(r"arn:(aws|aws-cn|aws-us-gov):iam::(\d{12}):role/(?:[\x21-\x7e]*/)?[\w+=,.@-]{1,64}", re.ASCII)
_SESSION = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_REGIONS = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}


@dataclass(frozen=True)
class Token:
    """A token whose signature was verified; `issuer` is without its scheme, as conditions name it."""

    issuer: str
    audience: str
    subject: str
    claims: dict[str, Any]


class WebIdentity:
    """Answers AssumeRoleWithWebIdentity."""

    def __init__(self, issuers: Issuers) -> None:
        self._issuers = issuers

    def __call__(self, asked: Asked) -> Answer:
        """A session, or AWS's error."""
        match = _ROLE.fullmatch(asked.text("RoleArn"))
        if match is None or not _SESSION.fullmatch(asked.text("RoleSessionName")):
            raise Refused("ValidationError", "1 validation error detected: RoleArn or RoleSessionName is malformed")
        partition, account = match.groups()
        seconds = _duration(asked)
        provider_arn, token = self._verified(asked.text("WebIdentityToken"), account, partition)
        role = next(
            (each for each in iam_backends[account][partition].roles.values() if each.arn == asked.text("RoleArn")),
            None,
        )
        if role is None or not _trusts(role.assume_role_policy_document, provider_arn, token, asked):
            raise Refused("AccessDenied", f"Not authorized to perform {ACTION}", 403)
        if seconds > int(role.max_session_duration or 3600):
            message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
            raise Refused("ValidationError", message)
        session = sts_backends[account][partition].assume_role(
            region_name=_REGIONS[partition],
            role_session_name=asked.text("RoleSessionName"),
            role_arn=role.arn,
            policy=asked.text("Policy"),
            duration=seconds,
            external_id="",
        )
        asked.kept["caller"] = session.arn
        return _answer(session, provider_arn, token)

    def _verified(self, text: str, account: str, partition: str) -> tuple[str, Token]:
        header, claims, signed, signature = _parts(text)
        issuer, subject = claims.get("iss"), claims.get("sub")
        if not isinstance(issuer, str) or not isinstance(subject, str) or not subject:
            raise Refused("InvalidIdentityToken", "Missing a required claim: iss or sub")
        host = issuer.partition("://")[2]
        arn = f"arn:{partition}:iam::{account}:oidc-provider/{host}"
        provider = iam_backends[account][partition].open_id_providers.get(arn)
        if provider is None or not host or getattr(provider, "scheme", "https") != issuer.partition("://")[0]:
            raise Refused("InvalidIdentityToken", f"No OpenIDConnect provider found in your account for {issuer}")
        if header.get("alg") != "RS256" or not isinstance(header.get("kid"), str):
            raise unverifiable()
        try:
            self._issuers.key(issuer, header["kid"]).verify(signature, signed, PKCS1v15(), SHA256())
        except InvalidSignature:
            raise unverifiable() from None
        _check_times(claims)
        audience = _audience(claims)
        if audience not in provider.client_id_list:
            raise Refused("InvalidIdentityToken", "Incorrect token audience")
        return arn, Token(host, audience, subject, claims)


def _duration(asked: Asked) -> int:
    text = asked.text("DurationSeconds") or "3600"
    if not text.isascii() or not text.isdigit() or not 900 <= int(text) <= 43200:
        message = "1 validation error detected: Value at 'durationSeconds' must be from 900 to 43200"
        raise Refused("ValidationError", message)
    return int(text)


def _parts(text: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    parts = text.split(".")
    try:
        header, claims = (json.loads(decode(part)) for part in parts[:2])
        signature = decode(parts[2])
    except (ValueError, IndexError):
        raise Refused("InvalidIdentityToken", "The ID Token provided is not a valid JWT.") from None
    if len(parts) != 3 or not isinstance(header, dict) or not isinstance(claims, dict):
        raise Refused("InvalidIdentityToken", "The ID Token provided is not a valid JWT.")
    return header, claims, f"{parts[0]}.{parts[1]}".encode(), signature


def _check_times(claims: dict[str, Any]) -> None:
    now = time.time()
    for name in ("exp", "iat"):
        if type(claims.get(name)) not in (int, float):
            raise Refused("InvalidIdentityToken", f"Missing a required claim: {name}")
    if claims["exp"] <= now:
        message = f"Token expired: current date/time {int(now)} must be before the expiration date/time {claims['exp']}"
        raise Refused("ExpiredTokenException", message)
    if claims["iat"] > now or (type(claims.get("nbf")) in (int, float) and claims["nbf"] > now):
        raise Refused("InvalidIdentityToken", "The token isn't valid yet")


def _audience(claims: dict[str, Any]) -> str:
    audience = claims.get("aud")
    values = audience if isinstance(audience, list) else [audience]
    if len(values) > 1:
        values = [claims.get("azp")]
    return str(values[0]) if values and isinstance(values[0], str) else ""


def _trusts(document: str, provider_arn: str, token: Token, asked: Asked) -> bool:
    context: dict[str, tuple[str, ...]] = {
        f"{token.issuer}:aud".lower(): (token.audience,),
        f"{token.issuer}:sub".lower(): (token.subject,),
        "aws:federatedprovider": (provider_arn,),
        "sts:rolesessionname": (asked.text("RoleSessionName"),),
        "aws:securetransport": ("true" if asked.secure else "false",),
    }
    trusted: Context = context
    question = Question(Permission(ACTION), trusted, federated=provider_arn)
    policy = [json.loads(document)]
    return allowed(policy, question) and not denied(policy, question)


def _answer(session: AssumedRole, provider_arn: str, token: Token) -> Answer:
    expiration = session.expiration.strftime("%Y-%m-%dT%H:%M:%SZ")
    credentials = _elements(
        {
            "AccessKeyId": session.access_key_id,
            "SecretAccessKey": session.secret_access_key,
            "SessionToken": session.session_token,
            "Expiration": expiration,
        }
    )
    user = _elements({"AssumedRoleId": session.user_id, "Arn": session.arn})
    told = _elements(
        {"SubjectFromWebIdentityToken": token.subject, "Audience": token.audience, "Provider": provider_arn}
    )
    result = f"<Credentials>{credentials}</Credentials><AssumedRoleUser>{user}</AssumedRoleUser>{told}"
    metadata = f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"
    name = "AssumeRoleWithWebIdentity"
    return xml_answer(
        f'<{name}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<{name}Result>{result}</{name}Result>{metadata}</{name}Response>"
    )


def _elements(values: dict[str, str]) -> str:
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in values.items())


def keep_scheme_of_providers(is_fetchable: Callable[[str], bool]) -> None:
    """Have moto keep how a provider is reached, which it forgets, and refuse what AWS would never fetch."""
    from moto.iam.exceptions import ValidationError
    from moto.iam.models import OpenIDConnectProvider

    original = OpenIDConnectProvider.__init__

    def patched(self: Any, *given: Any, **named: Any) -> None:
        original(self, *given, **named)
        url = named["url"] if "url" in named else given[2]
        if not is_fetchable(url):
            raise ValidationError("Invalid Open ID Connect Provider URL")
        self.scheme = url.partition("://")[0]

    OpenIDConnectProvider.__init__ = patched
