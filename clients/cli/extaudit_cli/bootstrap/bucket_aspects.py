"""What is set of a bucket after it was made, each by calls of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from extaudit_client import BucketPlan

from extaudit_cli.aws.admin import Admin
from extaudit_cli.bootstrap.bucket_policy import PolicyAspect
from extaudit_cli.bootstrap.bucket_rules import LifecycleAspect, OtherRulesAspect
from extaudit_cli.bootstrap.patience import Patience
from extaudit_cli.bootstrap.rows import Value
from extaudit_cli.bootstrap.things import Attribute, State, compared, compared_tags

_SETTLING: Final = frozenset({"NoSuchBucket", "OperationAborted"})
"""What S3 says for a while of a bucket that was just made or changed."""
_BLOCKS: Final = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
_DAYS_OF_YEAR: Final = 365


@dataclass(frozen=True, slots=True)
class BucketCalls:
    """Calls about one bucket, each of which says whose it must be."""

    admin: Admin
    bucket: str
    account_id: str
    region: str
    patience: Patience

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of S3's client.

        Raises:
            AwsRefusal: S3 refuses.
        """
        whose = {"Bucket": self.bucket, "ExpectedBucketOwner": self.account_id}
        return self.admin.call("s3", method, region=self.region, **whose, **parameters)

    def find(self, method: str, absent: str) -> dict[str, Any] | None:
        """Like `ask`; None where S3 answers with the code `absent`."""
        whose = {"Bucket": self.bucket, "ExpectedBucketOwner": self.account_id}
        found: dict[str, Any] | None = self.admin.find("s3", method, absent, region=self.region, **whose)
        return found

    def change(self, method: str, **parameters: Any) -> None:
        """Like `ask`, again and again while the bucket settles."""
        self.patience.over(_SETTLING, lambda: self.ask(method, **parameters))

    def object_lock(self) -> dict[str, Any] | None:
        """The configuration of object lock; None where it is off."""
        found = self.find("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError")
        configuration: dict[str, Any] = (found or {}).get("ObjectLockConfiguration") or {}
        return configuration if configuration.get("ObjectLockEnabled") == "Enabled" else None


class Aspect(Protocol):
    """One thing that is set of a bucket."""

    @property
    def name(self) -> str:
        """Such as `versioning`."""

    @property
    def planned(self) -> Value:
        """What is planned, as a JSON value."""

    def look(self) -> Attribute:
        """Compare."""

    def write(self, attribute: Attribute) -> None:
        """Make it as planned."""


def aspects(calls: BucketCalls, plan: BucketPlan) -> Iterator[Aspect]:
    """All aspects, in the order in which they are set: first the tags, by which a bucket is known for ours."""
    yield _Tags(calls, {tag.key: tag.value for tag in plan.tags})
    yield _PublicAccess(calls)
    yield _Ownership(calls)
    yield _Versioning(calls, plan.versioning)
    yield _Retention(calls, plan)
    yield _Encryption(calls, plan.kms_key_arn)
    yield PolicyAspect(calls, plan.policy)
    yield LifecycleAspect(calls, plan)
    if plan.purpose == "long-term":
        yield OtherRulesAspect(calls, plan)


@dataclass(frozen=True, slots=True)
class _Tags:
    calls: BucketCalls
    planned: Mapping[str, str]
    name: str = "tags"

    def look(self) -> Attribute:
        return compared_tags(self.planned, self._read())

    def write(self, attribute: Attribute) -> None:
        """Keeps the others: S3 replaces the set."""
        tags = self._read() | dict(self.planned)
        self.calls.change("put_bucket_tagging", Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in tags.items()]})

    def _read(self) -> dict[str, str]:
        found = self.calls.find("get_bucket_tagging", "NoSuchTagSet") or {}
        return {each["Key"]: each["Value"] for each in found.get("TagSet", [])}


@dataclass(frozen=True, slots=True)
class _PublicAccess:
    calls: BucketCalls
    name: str = "public-access-block"

    @property
    def planned(self) -> dict[str, bool]:
        return dict.fromkeys(_BLOCKS, True)

    def look(self) -> Attribute:
        found = self.calls.find("get_public_access_block", "NoSuchPublicAccessBlockConfiguration")
        blocks = found and {each: bool(found["PublicAccessBlockConfiguration"].get(each)) for each in _BLOCKS}
        return compared(self.name, self.planned, blocks)

    def write(self, attribute: Attribute) -> None:
        self.calls.change("put_public_access_block", PublicAccessBlockConfiguration=self.planned)


@dataclass(frozen=True, slots=True)
class _Ownership:
    calls: BucketCalls
    name: str = "ownership"
    planned: str = "BucketOwnerEnforced"

    def look(self) -> Attribute:
        found = self.calls.find("get_bucket_ownership_controls", "OwnershipControlsNotFoundError")
        return compared(self.name, self.planned, found and found["OwnershipControls"]["Rules"][0]["ObjectOwnership"])

    def write(self, attribute: Attribute) -> None:
        rules = [{"ObjectOwnership": self.planned}]
        self.calls.change("put_bucket_ownership_controls", OwnershipControls={"Rules": rules})


@dataclass(frozen=True, slots=True)
class _Versioning:
    calls: BucketCalls
    wanted: bool
    name: str = "versioning"

    @property
    def planned(self) -> str | None:
        return "Enabled" if self.wanted else None

    def look(self) -> Attribute:
        found = self.calls.ask("get_bucket_versioning").get("Status")
        return compared(self.name, self.planned, None if found == "Suspended" and not self.wanted else found)

    def write(self, attribute: Attribute) -> None:
        status = "Enabled" if self.wanted else "Suspended"
        self.calls.change("put_bucket_versioning", VersioningConfiguration={"Status": status})


@dataclass(frozen=True, slots=True)
class _Retention:
    """The default retention of object lock: how long nobody can delete what is stored."""

    calls: BucketCalls
    plan: BucketPlan
    name: str = "retention"

    @property
    def planned(self) -> dict[str, Any] | None:
        if not self.plan.object_lock_days:
            return None
        return {"mode": self.plan.object_lock_mode.upper(), "days": self.plan.object_lock_days}

    def look(self) -> Attribute:
        retention = ((self.calls.object_lock() or {}).get("Rule") or {}).get("DefaultRetention")
        found = retention and {
            "mode": retention["Mode"],
            "days": retention.get("Days") or retention["Years"] * _DAYS_OF_YEAR,
        }
        return compared(self.name, self.planned, found)

    def write(self, attribute: Attribute) -> None:
        configuration: dict[str, Any] = {"ObjectLockEnabled": "Enabled"}
        if planned := self.planned:
            configuration["Rule"] = {"DefaultRetention": {"Mode": planned["mode"], "Days": planned["days"]}}
        self.calls.change("put_object_lock_configuration", ObjectLockConfiguration=configuration)


@dataclass(frozen=True, slots=True)
class _Encryption:
    """What S3 encrypts with by default. Every bucket has SSE-S3 by itself, so that is nothing of the user's."""

    calls: BucketCalls
    key: str
    name: str = "encryption"

    @property
    def planned(self) -> dict[str, Any]:
        return {"algorithm": "aws:kms", "key": self.key, "bucket-key": True} if self.key else {"algorithm": "AES256"}

    def look(self) -> Attribute:
        answer = self.calls.find("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError")
        if answer is None:
            return compared(self.name, self.planned, None)
        rule = answer["ServerSideEncryptionConfiguration"]["Rules"][0]
        default = rule.get("ApplyServerSideEncryptionByDefault")
        if default is None:  # a rule may be about something else alone
            return compared(self.name, self.planned, None)
        found: dict[str, Any] = {"algorithm": default["SSEAlgorithm"]}
        if key := default.get("KMSMasterKeyID"):
            found |= {"key": key, "bucket-key": bool(rule.get("BucketKeyEnabled"))}
        if found == {"algorithm": "AES256"} != self.planned:
            return Attribute(self.name, State.ABSENT, self.planned, found)
        return compared(self.name, self.planned, found)

    def write(self, attribute: Attribute) -> None:
        default = {"SSEAlgorithm": self.planned["algorithm"]}
        if self.key:
            default["KMSMasterKeyID"] = self.key
        rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": bool(self.key)}
        self.calls.change("put_bucket_encryption", ServerSideEncryptionConfiguration={"Rules": [rule]})
