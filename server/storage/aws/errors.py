"""What AWS, or the way there, said no with: one small class instead of the SDK's many; no SDK text gets through."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from server.storage.ports import ObjectArchived, StorageError


class Kind(enum.Enum):
    """What an error means for whoever asked."""

    DENIED = "denied"
    """A policy of IAM, of the bucket or of the key refused it."""
    MISSING = "missing"
    """What was asked for isn't there."""
    CONFLICT = "conflict"
    """It is there already, or isn't as it was last seen."""
    CREDENTIALS = "credentials"
    """The credentials aren't valid, any more or yet; or there are none."""
    THROTTLED = "throttled"
    UNREACHABLE = "unreachable"
    """No answer came: no address, no connection, wrong certificate, or none in time."""
    FAILING = "failing"
    """AWS had an error of its own."""
    REFUSED = "refused"
    """Anything else: the request isn't one that AWS takes."""


_WORDS: Final = {
    Kind.DENIED: "AWS did not allow it",
    Kind.MISSING: "there is no such thing",
    Kind.CONFLICT: "AWS has it otherwise than it was last seen",
    Kind.CREDENTIALS: "the credentials are not valid",
    Kind.THROTTLED: "AWS asks for fewer calls",
    Kind.UNREACHABLE: "no answer came",
    Kind.FAILING: "AWS had an error of its own",
    Kind.REFUSED: "AWS refused it",
}


class AwsError(StorageError):
    """A call that AWS refused or that didn't get there; the text is in our own words."""

    def __init__(
        self, action: str, kind: Kind, code: str = "", *, status: int = 0, request_id: str = "", words: str = ""
    ) -> None:
        self.action = action
        """The IAM action that the call needs, such as `s3:ListBucket`; '' if it needs none."""
        self.kind = kind
        self.code = code
        """AWS's code, such as `AccessDenied`; '' where no answer came."""
        self.status = status
        """HTTP status; 0 where no answer came."""
        self.request_id = request_id
        self.words = words or _WORDS[kind]
        super().__init__(": ".join(filter(None, (action, self.words))) + (f" ({code})" if code else ""))

    @property
    def retryable(self) -> bool:
        """True where the same call may be answered otherwise in a moment."""
        return self.kind in {Kind.THROTTLED, Kind.UNREACHABLE, Kind.FAILING, Kind.CREDENTIALS}


class ArchivedInS3(AwsError, ObjectArchived):
    """The object's storage class is one of archives, or its tier, and nobody had it restored."""


class CredentialsUnavailable(AwsError):
    """There are no valid credentials for the role, and none could be had."""

    def __init__(self, words: str, cause: AwsError | None = None) -> None:
        code, status, request_id = (cause.code, cause.status, cause.request_id) if cause else ("", 0, "")
        super().__init__(
            "sts:AssumeRoleWithWebIdentity", Kind.CREDENTIALS, code, status=status, request_id=request_id, words=words
        )
        self.cause = cause

    def again(self) -> CredentialsUnavailable:
        """Another one, for another caller: an error that is raised twice keeps the frames of both."""
        return CredentialsUnavailable(self.words, self.cause)


_ACTIONS: Final = {
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:ListParts": "s3:ListMultipartUploadParts",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
}
"""The actions that aren't called as their operations are."""

_DENIED: Final = {
    "AccessDenied",
    "AccessDeniedException",
    "AllAccessDisabled",
    "AccountProblem",
    "UnauthorizedOperation",
}
_MISSING: Final = {"EntityNotFoundException", "ResourceNotFoundException", "NoSuchEntity"}
_CONFLICT: Final = {
    "AlreadyExistsException", "BucketAlreadyExists", "BucketAlreadyOwnedByYou", "ConcurrentModificationException",
    "ConditionalRequestConflict", "OperationAborted", "PreconditionFailed",
}  # fmt: skip
_CREDENTIALS: Final = {
    "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidIdentityToken",
    "InvalidToken", "RequestExpired", "RequestTimeTooSkewed", "SignatureDoesNotMatch", "TokenRefreshRequired",
    "UnrecognizedClientException", "IDPRejectedClaim",
}  # fmt: skip
_THROTTLED: Final = {
    "BandwidthLimitExceeded", "LimitExceededException", "ProvisionedThroughputExceededException",
    "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException", "SlowDown", "Throttling",
    "ThrottlingException",
    "ThrottledException", "TooManyRequestsException",
}  # fmt: skip
_REFUSED_ACTION: Final = re.compile(r"not authorized to perform:? ([a-z][a-z0-9-]{1,30}:[A-Za-z]{3,60})\b", re.ASCII)
"""AWS says which action it was; with a key of KMS it is another than the call's own."""
ARCHIVED: Final = "InvalidObjectState"
"""The code of a GET of what is archived."""
_PLAIN_CODE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9._=+/-]{1,128}", re.ASCII)


def action_of(service: str, operation: str) -> str:
    """The IAM action that an operation needs: `s3:ListBucket` for `s3` and `ListObjectsV2`."""
    called = f"{service}:{operation}"
    return _ACTIONS.get(called, called)


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Whatever botocore raises within becomes an AwsError; reading a body needs it too.

    Raises:
        AwsError: instead.
    """
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, IncompleteReadError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise of_answer(action, error.response) from None
    except (ConnectionError, HTTPClientError, IncompleteReadError):
        raise AwsError(action, Kind.UNREACHABLE) from None
    except (ResponseParserError, KeyError):
        raise AwsError(action, Kind.FAILING, words="the answer is not one of AWS") from None
    except BotoCoreError:
        # What botocore itself refuses to send: a parameter or an endpoint that can't be.
        raise AwsError(action, Kind.REFUSED, words="the request could not be made") from None


def of_answer(action: str, response: dict[str, Any]) -> AwsError:
    """The error that an answer of AWS tells."""
    told, about = response.get("Error", {}), response.get("ResponseMetadata", {})
    status = int(about.get("HTTPStatusCode") or 0)
    code = str(told.get("Code") or "")
    code = code if _PLAIN_CODE.fullmatch(code) else "Unreadable"
    request_id = str(about.get("RequestId") or "")
    request_id = request_id if _PLAIN_ID.fullmatch(request_id) else ""
    kind = _kind(code, status)
    if code == ARCHIVED:
        words = "the object is archived, and can be read once it was restored"
        return ArchivedInS3(action, kind, code, status=status, request_id=request_id, words=words)
    named = _REFUSED_ACTION.search(str(told.get("Message") or "")) if kind is Kind.DENIED else None
    return AwsError(named[1] if named else action, kind, code, status=status, request_id=request_id)


def _kind(code: str, status: int) -> Kind:
    for codes, kind in (
        (_DENIED, Kind.DENIED),
        (_CREDENTIALS, Kind.CREDENTIALS),
        (_THROTTLED, Kind.THROTTLED),
        (_MISSING, Kind.MISSING),
        (_CONFLICT, Kind.CONFLICT),
    ):
        if code in codes:
            return kind
    if code.startswith("NoSuch"):
        return Kind.MISSING
    by_status = {401: Kind.CREDENTIALS, 403: Kind.DENIED, 404: Kind.MISSING, 409: Kind.CONFLICT, 412: Kind.CONFLICT}
    if status == 429 or status == 503:
        return Kind.THROTTLED
    return Kind.FAILING if status >= 500 else by_status.get(status, Kind.REFUSED)
