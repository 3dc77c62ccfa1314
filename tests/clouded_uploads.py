"""What tests of uploads to S3 share: a recording of several parts, and its object in the bucket in memory."""

from __future__ import annotations

from server.storage.aws.errors import AwsError, Kind
from tests.memory_s3 import CloudedFiles, Version
from tests.uploads_under_test import SESSION, S3UploadsUnderTest

DATA = bytes(range(90))
"""Six parts, the last one not full."""
NAME = f"sessions/{SESSION}.tar"


def bucket(service: S3UploadsUnderTest) -> list[Version]:
    """The versions of the session's object, oldest first."""
    assert isinstance(service.files, CloudedFiles)
    return [each for each in service.files.bucket.versions if each.key == NAME]


def away(operation: str) -> AwsError:
    """What S3 answers while it can't be reached."""
    return AwsError("s3:PutObject", Kind.UNREACHABLE)
