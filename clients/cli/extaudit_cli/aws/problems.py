"""Failures of calls to AWS as one line: AWS's code, the IAM action, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import click

from extaudit_cli.text import visible

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError

ACTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
        "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
        "s3:GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
        "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
        "s3:HeadBucket": "s3:ListBucket",
        "s3:HeadObject": "s3:GetObject",
        "s3:ListObjectsV2": "s3:ListBucket",
        "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
        "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
        "s3:PutObjectLockConfiguration": "s3:PutBucketObjectLockConfiguration",
        "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    }
)
"""`service:Operation` → the IAM action that it needs, where the two have different names."""

_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"})
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_UNKNOWN: Final = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidAccessKeyId"}
)
_BUSY: Final = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown"})
_ADVICE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "OpenIdIdpCommunicationError": "AWS can't reach the service's issuer; its documents must be readable from the "
        "Internet by https, at issuer_url",
        "LimitExceeded": "the account has as many of these as its quota allows; remove some, or have the quota raised",
        "MalformedPolicyDocument": "AWS doesn't take the policy; whatever it names must be in the account already",
    }
)
"""What to do about codes that mean one thing."""
_LOGIN: Final = "log in anew, such as by `aws sso login`, or give --aws-profile of other credentials"


class AwsProblem(click.ClickException):
    """AWS can't be asked with the administrator's credentials; the message is one line."""


class AwsRefusal(AwsProblem):
    """AWS answered a call with an error."""

    def __init__(self, code: str, action: str, request_id: str) -> None:
        self.code = code
        """AWS's error code, such as `NoSuchEntity`."""
        self.action = action
        """The IAM action of the call, such as `iam:GetRole`."""
        self.request_id = request_id
        """What AWS's support asks for; '' where AWS gave none."""
        self._more = ""
        told = f" (request id {request_id})" if request_id else ""
        super().__init__(visible(f"AWS refuses {action} with {code}{told}: {_remedy(code, action)}"))

    @property
    def denied(self) -> bool:
        """Whether the credentials may not do it."""
        return self.code in _DENIED

    def also_needs(self, actions: str) -> None:
        """Tell of the actions that this call asks for beside its own: a denial may be of each of them."""
        if self.denied:
            self.add(f"as it is called here it also needs {actions}")

    def add(self, text: str) -> None:
        """Tell more, after what is told anyway."""
        self._more += f"; {text}"

    def format_message(self) -> str:
        """All that is told."""
        return self.message + visible(self._more)


def action_of(service: str, operation: str) -> str:
    """The IAM action that an operation of AWS's API needs, such as `iam:GetRole`."""
    named = f"{service}:{operation}"
    return ACTIONS.get(named, named)


def unreached(error: BotoCoreError, action: str) -> AwsProblem:
    """Tell why AWS could not be asked at all, without the library's text."""
    from botocore import exceptions

    kinds: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
        (
            (exceptions.NoCredentialsError, exceptions.PartialCredentialsError),
            "no AWS credentials are found; set AWS_PROFILE, give --aws-profile, or log in by `aws sso login`",
        ),
        ((exceptions.ProfileNotFound,), "there is no such profile in your AWS configuration; see `aws configure list`"),
        (
            (
                exceptions.TokenRetrievalError,
                exceptions.UnauthorizedSSOTokenError,
                exceptions.SSOTokenLoadError,
                exceptions.CredentialRetrievalError,
            ),
            f"the AWS credentials can't be had; {_LOGIN}",
        ),
        ((exceptions.NoRegionError, exceptions.InvalidRegionError), "no region, or none that is one; give --region"),
        ((exceptions.SSLError,), "the TLS certificate of AWS isn't trusted here; see AWS_CA_BUNDLE"),
        (
            (exceptions.HTTPClientError, exceptions.ConnectionError),
            "AWS can't be reached; check the network, proxies and the region",
        ),
    )
    text = next((text for types, text in kinds if isinstance(error, types)), "your AWS configuration isn't usable")
    asked = f"{action}: " if action else ""
    return AwsProblem(f"{asked}{text} ({type(error).__name__})")


def _remedy(code: str, action: str) -> str:
    if code in _DENIED:
        return f"these credentials lack {action}, or a policy of the organisation denies it; allow it, or use others"
    if code in _EXPIRED:
        return f"the AWS credentials have expired; {_LOGIN}"
    if code in _UNKNOWN:
        return f"AWS doesn't know these credentials; {_LOGIN}"
    if code in _BUSY:
        return "too much is asked of AWS now; try again in a minute"
    if code in _ADVICE:
        return _ADVICE[code]
    return "what was done until then stays; put it right and run the command again, which goes on from there"
