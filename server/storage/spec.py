"""The nine fields that say where an external audit storage is, and what an administrator chooses beside them."""

from __future__ import annotations

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class S3Location:
    """A bucket and a prefix in it, without slashes at either end; `s3://<bucket>/<prefix>`."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}" if self.prefix else f"s3://{self.bucket}"

    @property
    def keys_prefix(self) -> str:
        """What every key there begins with: the prefix and a slash, or '' where there is no prefix."""
        return f"{self.prefix}/" if self.prefix else ""

    @classmethod
    def parse(cls, uri: str) -> S3Location:
        """The location that a URI names; what its parts may be is for the rules to say.

        Raises:
            ValueError: it isn't `s3://`, a bucket and perhaps a path.
        """
        scheme, separator, rest = uri.partition("://")
        bucket, _, path = rest.partition("/")
        if scheme != "s3" or not separator or not bucket:
            raise ValueError("it isn't s3://<bucket>/<prefix>")
        return cls(bucket, path.strip("/"))


@dataclass(frozen=True, slots=True)
class StorageSpec:
    """The nine fields, as the proto has them; `server/external_storage/` has the rules for them."""

    integration_name: str
    region: str
    session_recordings_uri: str
    audit_events_long_term_uri: str
    athena_results_uri: str
    athena_workgroup: str
    glue_database: str
    glue_table: str
    policy_name: str

    @property
    def recordings(self) -> S3Location:
        """Where recordings go."""
        return S3Location.parse(self.session_recordings_uri)

    @property
    def events(self) -> S3Location:
        """Where events go."""
        return S3Location.parse(self.audit_events_long_term_uri)

    @property
    def results(self) -> S3Location:
        """Where Athena puts results."""
        return S3Location.parse(self.athena_results_uri)


class ObjectLockMode(enum.Enum):
    """How S3 keeps objects from being deleted before their time."""

    GOVERNANCE = "GOVERNANCE"
    COMPLIANCE = "COMPLIANCE"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class StorageOptions:
    """What an administrator chooses for the infrastructure beside its names; kept with the storage.

    No field is ever 0 for "the default": defaults are put in where a request is read.
    """

    object_lock_mode: ObjectLockMode = ObjectLockMode.GOVERNANCE
    object_lock_days: int = 1460
    """0 where the mode is NONE."""
    kms_key_arn: str = ""
    """'' for SSE-S3."""
    retention_days: int = 0
    """0 keeps events and recordings for ever."""
    results_days: int = 1
    scan_limit_bytes: int = 1_000_000_000_000
