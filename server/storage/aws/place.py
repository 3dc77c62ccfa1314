"""A place in a bucket and the way there, as what keeps events and what keeps recordings share them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from server.storage.aws.clients import ServiceClient
from server.storage.aws.store import AWS, Store
from server.storage.spec import S3Location


@dataclass(frozen=True, slots=True)
class Place:
    """Where the objects are, and what every request says of it."""

    location: S3Location
    account_id: str
    """Whose the bucket must be."""
    kms_key_arn: str = ""
    """'' where the bucket's own encryption counts."""
    store: Store = AWS
    retention_days: int = 0
    """After how many days the bucket's rule deletes what is there; 0 where it keeps everything."""

    @property
    def bucket(self) -> dict[str, str]:
        """What a request says that is about the bucket."""
        return {"Bucket": self.location.bucket, "ExpectedBucketOwner": self.account_id}

    def at(self, name: str) -> dict[str, str]:
        """What a request says that is about the object of this name below the location."""
        return {**self.bucket, "Key": self.location.keys_prefix + name}

    @property
    def encryption(self) -> dict[str, str]:
        """What a request says that makes an object."""
        if not self.kms_key_arn:
            return {}
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key_arn}

    @property
    def condition(self) -> dict[str, str]:
        """What a request says that may make an object only where there is none."""
        return {"IfNoneMatch": "*"} if self.store.conditional_writes else {}


@dataclass(frozen=True, slots=True)
class Connection:
    """A place, and the way to a client that may reach it: making one takes a second, and some ask for the place."""

    client: Callable[[], ServiceClient]
    place: Place

    @property
    def s3(self) -> ServiceClient:
        """The client."""
        return self.client()
