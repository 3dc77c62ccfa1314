"""What a bucket is like: there, of the account, in the region, versioned, locked, closed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from server.storage.aws.checks.findings import Findings
from server.storage.aws.clients import AwsClients
from server.storage.aws.errors import AwsError, Kind
from server.storage.aws.store import UNKNOWN_REQUEST, Store
from server.storage.connection import Wanted
from server.storage.spec import ObjectLockMode

EXISTS: Final = "bucket.exists"
OWNER: Final = "bucket.owner"
REGION: Final = "bucket.region"
VERSIONING: Final = "bucket.versioning"
LOCK: Final = "bucket.object-lock"
PUBLIC: Final = "bucket.public-access"
OWNERSHIP: Final = "bucket.ownership"
OF_BUCKETS: Final = (EXISTS, OWNER, REGION, VERSIONING, LOCK, PUBLIC, OWNERSHIP)

_BOOTSTRAP: Final = "`extaudit storage bootstrap` with administrator's credentials sets it."
_DAYS_OF_YEAR: Final = 365


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket and what of it counts: the long-term one has to keep what is in it, the other has not."""

    name: str
    long_term: bool


@dataclass(frozen=True, slots=True)
class _Answers:
    """What S3 says of a bucket: by method, the answer or the error."""

    location: dict[str, Any] | AwsError
    versioning: dict[str, Any] | AwsError
    lock: dict[str, Any] | AwsError | None
    public: dict[str, Any] | AwsError
    ownership: dict[str, Any] | AwsError

    def errors(self) -> list[AwsError]:
        asked = (self.location, self.versioning, self.lock, self.public, self.ownership)
        return [each for each in asked if isinstance(each, AwsError)]

    def refused(self) -> bool:
        """Whether S3 allowed no call."""
        errors = self.errors()
        return len(errors) == self._asked and all(each.kind is Kind.DENIED for each in errors)

    def silent(self) -> bool:
        """Whether no call tells that the bucket is there: that it has no such configuration would."""
        errors = self.errors()
        return len(errors) == self._asked and not any(each.kind is Kind.MISSING for each in errors)

    @property
    def _asked(self) -> int:
        return 4 if self.lock is None else 5


def check_bucket(clients: AwsClients, wanted: Wanted, bucket: Bucket, findings: Findings) -> bool:
    """Tell of a bucket; False where it is of no use to look into it."""
    answers = _ask(clients, wanted, bucket, findings)
    names = [name for name in OF_BUCKETS if bucket.long_term or name != LOCK]
    if not _check_exists(answers, wanted, bucket, findings):
        for name in names[1:]:
            findings.not_checked(name, bucket.name, "There is no such bucket.")
        return False
    if not _check_owner(answers, wanted, bucket, findings):
        for name in names[2:]:
            findings.not_checked(name, bucket.name, "S3 answered no call on the bucket.")
        return False
    _check_region(answers.location, wanted, bucket, findings)
    _check_versioning(answers.versioning, bucket, clients.store, findings)
    if answers.lock is not None:
        _check_lock(answers.lock, wanted, bucket, findings)
    _check_public(answers.public, bucket, findings)
    _check_ownership(answers.ownership, bucket, findings)
    return True


def _ask(clients: AwsClients, wanted: Wanted, bucket: Bucket, findings: Findings) -> _Answers:
    s3 = clients.s3

    def ask(method: Callable[..., Any]) -> dict[str, Any] | AwsError:
        findings.go_on()  # each may wait for an answer
        try:
            answer: dict[str, Any] = method(Bucket=bucket.name, ExpectedBucketOwner=wanted.account_id)
        except AwsError as error:
            return error
        return answer

    return _Answers(
        ask(s3.get_bucket_location),
        ask(s3.get_bucket_versioning),
        ask(s3.get_object_lock_configuration) if bucket.long_term else None,
        ask(s3.get_public_access_block),
        ask(s3.get_bucket_ownership_controls),
    )


def _check_exists(answers: _Answers, wanted: Wanted, bucket: Bucket, findings: Findings) -> bool:
    missing = next((each for each in answers.errors() if each.code in ("NoSuchBucket", "404")), None)
    if missing is not None:
        findings.failed(
            EXISTS, bucket.name, "There is no such bucket.", setting="bucket",
            remedy="`extaudit storage bootstrap` makes it.", code=missing.code, request_id=missing.request_id,
        )  # fmt: skip
        return False
    if answers.refused():
        findings.not_checked(
            EXISTS, bucket.name, "S3 refuses every call on it, which says nothing of whether it is there."
        )
    elif answers.silent():
        # For more than one reason, it may be: that there is no answer fails, or a test that saw nothing would pass.
        findings.refused(EXISTS, bucket.name, next(each for each in answers.errors() if each.kind is not Kind.DENIED))
    else:
        findings.passed(EXISTS, bucket.name, "It is there.")
    return True


def _check_owner(answers: _Answers, wanted: Wanted, bucket: Bucket, findings: Findings) -> bool:
    if answers.refused():
        first = answers.errors()[0]
        findings.failed(
            OWNER,
            bucket.name,
            f"S3 refuses every call that expects the bucket to be of account {wanted.account_id}: another account owns "
            "it, or the role's policy does not name it.",
            setting="bucket owner",
            remedy="Compare the role's policy with `extaudit storage iam-policy`. If it is the same, the bucket is "
            "another account's: choose another name.",
            code=first.code,
            request_id=first.request_id,
        )
        return False
    if answers.silent():
        findings.not_checked(OWNER, bucket.name, "S3 answered no call on it.")
        return False
    findings.passed(OWNER, bucket.name, "It is of the storage's account.", account=wanted.account_id)
    return True


def _check_region(answer: dict[str, Any] | AwsError, wanted: Wanted, bucket: Bucket, findings: Findings) -> None:
    if isinstance(answer, AwsError):
        findings.refused(REGION, bucket.name, answer, setting="region", remedy=_region_remedy(wanted.spec.region))
        return
    told = answer.get("LocationConstraint")
    region = {None: "us-east-1", "": "us-east-1", "EU": "eu-west-1"}.get(told, str(told))
    if region == wanted.spec.region:
        findings.passed(REGION, bucket.name, f"It is in {region}.", region=region)
        return
    findings.failed(
        REGION,
        bucket.name,
        f"It is in {region}, and the storage in {wanted.spec.region}.",
        setting="region",
        remedy=_region_remedy(wanted.spec.region),
        region=region,
    )


def _region_remedy(region: str) -> str:
    return f"Name a bucket in {region}, or make a draft for the bucket's region: Athena reads its own region's buckets."


def _check_versioning(answer: dict[str, Any] | AwsError, bucket: Bucket, store: Store, findings: Findings) -> None:
    if isinstance(answer, AwsError) and (store.needs_versions or answer.status not in UNKNOWN_REQUEST):
        findings.refused(VERSIONING, bucket.name, answer)
        return
    status = "unknown" if isinstance(answer, AwsError) else str(answer.get("Status") or "never enabled")
    if status == "Enabled":
        findings.passed(VERSIONING, bucket.name, "Versions are kept.", status=status)
    elif bucket.long_term and not store.needs_versions:
        findings.warning(
            VERSIONING, bucket.name,
            f"Versions are not kept ({status}): what others write over or delete is lost.",
            setting="aws.s3_versioning", remedy="Turn versioning on, where the store has it.", status=status,
        )  # fmt: skip
    elif bucket.long_term:
        findings.failed(
            VERSIONING, bucket.name,
            f"Versions are not kept ({status}): what is written over is lost.",
            setting="versioning", remedy=_BOOTSTRAP, status=status,
        )  # fmt: skip
    else:
        findings.warning(
            VERSIONING, bucket.name,
            f"Versions are not kept ({status}), other than planned; it has query results only.",
            setting="versioning", remedy=_BOOTSTRAP, status=status,
        )  # fmt: skip


def _check_lock(answer: dict[str, Any] | AwsError, wanted: Wanted, bucket: Bucket, findings: Findings) -> None:
    options = wanted.options
    planned = f"{options.object_lock_mode.value}, {options.object_lock_days} days"
    if isinstance(answer, AwsError):
        if answer.kind is not Kind.MISSING and answer.code != "ObjectLockConfigurationNotFoundError":
            findings.refused(LOCK, bucket.name, answer)
        else:
            _tell_no_lock(options.object_lock_mode, planned, bucket, answer, findings)
        return
    told = answer.get("ObjectLockConfiguration") or {}
    kept = (told.get("Rule") or {}).get("DefaultRetention") or {}
    if told.get("ObjectLockEnabled") != "Enabled":
        _tell_no_lock(options.object_lock_mode, planned, bucket, None, findings)
        return
    mode = str(kept.get("Mode") or ObjectLockMode.NONE.value)
    days = int(kept.get("Days") or 0) or int(kept.get("Years") or 0) * _DAYS_OF_YEAR
    if options.object_lock_mode is not ObjectLockMode.NONE and mode == ObjectLockMode.NONE.value:
        findings.failed(
            LOCK, bucket.name, f"Object lock has no default retention; planned is {planned}.",
            setting="object lock", remedy=_BOOTSTRAP, mode=mode,
        )  # fmt: skip
    elif (mode, days) != (options.object_lock_mode.value, options.object_lock_days):
        findings.warning(
            LOCK, bucket.name, f"Object lock is {mode}, {days} days; planned is {planned}.",
            setting="object lock", remedy=f"Change the draft's options to what is meant. {_BOOTSTRAP}",
            mode=mode, days=str(days),
        )  # fmt: skip
    else:
        findings.passed(LOCK, bucket.name, f"Object lock is {mode}, {days} days.", mode=mode, days=str(days))


def _tell_no_lock(
    mode: ObjectLockMode, planned: str, bucket: Bucket, error: AwsError | None, findings: Findings
) -> None:
    code, request_id = (error.code, error.request_id) if error else ("", "")
    if mode is ObjectLockMode.NONE:
        findings.warning(
            LOCK, bucket.name, "Object lock is off; planned is to have it on, without a default retention.",
            setting="object lock", remedy="It is best had from the bucket's making: use another bucket.", mode="off",
        )  # fmt: skip
        return
    findings.failed(
        LOCK, bucket.name, f"Object lock is off; planned is {planned}.", setting="object lock",
        remedy="Have it turned on, or use another bucket, which `extaudit storage bootstrap` makes with it.",
        code=code, request_id=request_id, mode="off",
    )  # fmt: skip


_BLOCKS: Final = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def _check_public(answer: dict[str, Any] | AwsError, bucket: Bucket, findings: Findings) -> None:
    missing = isinstance(answer, AwsError) and (
        answer.kind is Kind.MISSING or answer.code == "NoSuchPublicAccessBlockConfiguration"
    )
    if isinstance(answer, AwsError) and not missing:
        findings.refused(PUBLIC, bucket.name, answer)
        return
    told = {} if isinstance(answer, AwsError) else answer.get("PublicAccessBlockConfiguration") or {}
    open_ = [name for name in _BLOCKS if told.get(name) is not True]
    if not open_:
        findings.passed(PUBLIC, bucket.name, "Public access is blocked in all four ways.")
        return
    code, request_id = (answer.code, answer.request_id) if isinstance(answer, AwsError) else ("", "")
    findings.failed(
        PUBLIC, bucket.name, f"Public access is not blocked whole: {', '.join(open_)} missing.",
        setting="public access block", remedy=_BOOTSTRAP, code=code, request_id=request_id,
    )  # fmt: skip


def _check_ownership(answer: dict[str, Any] | AwsError, bucket: Bucket, findings: Findings) -> None:
    missing = isinstance(answer, AwsError) and (
        answer.kind is Kind.MISSING or answer.code == "OwnershipControlsNotFoundError"
    )
    if isinstance(answer, AwsError) and not missing:
        findings.refused(OWNERSHIP, bucket.name, answer)
        return
    rules = [] if isinstance(answer, AwsError) else (answer.get("OwnershipControls") or {}).get("Rules") or []
    told = str(rules[0].get("ObjectOwnership")) if rules else "not set"
    if told == "BucketOwnerEnforced":
        findings.passed(OWNERSHIP, bucket.name, "All objects are the bucket owner's; access control lists don't count.")
    else:
        findings.warning(
            OWNERSHIP, bucket.name, f"Object ownership is {told}, so that access control lists of objects count.",
            setting="object ownership", remedy=_BOOTSTRAP, ownership=told,
        )  # fmt: skip
