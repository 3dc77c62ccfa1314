"""Whatever goes wrong on the way to S3 while recordings go there or are read: each is there once, read as it was."""

from __future__ import annotations

import hashlib
import io
import uuid

import pytest
from extaudit_client import Client, ExtauditError

from tests.crash.faulty_world import Case, FaultyWorld
from tests.crash.uploading import read
from tests.external_world import PATIENCE
from tests.fault_proxy.faults import CutAnswer, CutRequest, Late, LostAnswer, Refused, WrongBytes
from tests.fault_proxy.plan import Where
from tests.polling import until, until_given

MIB = 1024 * 1024
BEGIN = Where("POST", r"\.tar\?uploads")
PART = Where("PUT", r"\.tar\?.*partNumber=")
PARTS = Where("GET", r"\.tar\?.*uploadId=")
COMPLETION = Where("POST", r"\.tar\?uploadId=")
VERSIONS = Where("GET", r"\?.*versions")
VERSION = Where("HEAD", r"\.tar\?.*versionId=")
CUSTODY = Where("PUT", r"/_custody/")
ONE_PART, TWO_PARTS = 3000, 8 * MIB + 1
UPLOADS = {
    "a lost answer to its beginning": (ONE_PART, Case(LostAnswer(), (BEGIN,))),
    "a lost answer to a part": (ONE_PART, Case(LostAnswer(), (PART,))),
    "resets in the bytes of both parts": (TWO_PARTS, Case(CutRequest(after=1), (PART,), times=2)),
    "a storm of 503": (ONE_PART, Case(Refused("SlowDown", 503), (BEGIN, PART, COMPLETION), times=3)),
    "a lost answer to its completion": (ONE_PART, Case(LostAnswer(), (COMPLETION,))),
    "a completion that comes when it was given up": (ONE_PART, Case(Late(PATIENCE + 1), (COMPLETION,))),
    "a failed completion that was done": (TWO_PARTS, Case(Refused("InternalError", 500, done=True), (COMPLETION,))),
    "a reset in the list of parts, for which S3 is asked once it refused a completion": (
        TWO_PARTS,
        Case(Refused("InternalError", 500), (COMPLETION,)),
        Case(CutAnswer(), (PARTS,)),
    ),
    "resets where versions are looked at": (ONE_PART, Case(CutAnswer(), (VERSIONS, VERSION), times=3)),
    "a lost answer to its custody record": (ONE_PART, Case(LostAnswer(), (CUSTODY,))),
    "an expired token": (ONE_PART, Case(Refused("ExpiredToken", 400), (PART, COMPLETION), times=2)),
}
PIECE = Where("GET", r"\.tar\?.*versionId=")
DOWNLOADS = (WrongBytes(), WrongBytes(told=False), CutAnswer(), Refused("InternalError", 500))


@pytest.mark.timeout(600)
def test_no_fault_of_an_upload_loses_a_recording_or_keeps_it_twice(faulty: FaultyWorld) -> None:
    recordings = {
        str(uuid.uuid4()): (bytes([number]) * size, cases) for number, (size, *cases) in enumerate(UPLOADS.values())
    }
    with faulty.serving() as client:
        for session, (data, cases) in recordings.items():
            planned = [faulty.plan(case) for case in cases]
            upload_id = client.recordings.upload(io.BytesIO(data), session).upload_id
            until(lambda upload_id=upload_id, data=data: completed(client, upload_id, data))
            assert all(each.is_over for each in planned)
        objects = faulty.world.objects(*in_bucket(faulty, ""))
        for session, (data, _) in recordings.items():
            assert versions(faulty, session) == 1
            assert objects[in_bucket(faulty, f"{session}.tar")[1]] == data
            assert sum(f"/_custody/{session}/" in key for key in objects) == 1
            assert until_given(lambda session=session: read(client, session)) == data
        for fault in DOWNLOADS:
            planned = faulty.proxy.plan(fault, PIECE, times=None)
            until(lambda planned=planned, session=session: is_refused(client, session) and planned.befallen)
            faulty.proxy.take_back(planned)
            assert until_given(lambda session=session: read(client, session)) == data


def completed(client: Client, upload_id: str, data: bytes) -> bool:
    try:
        _, state = client.recordings.complete(upload_id, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    except ExtauditError as error:
        assert error.code == "UNAVAILABLE", error  # noqa: PT017 -- any other one is a fault
        return False
    assert state == "completed"
    return True


def is_refused(client: Client, session: str) -> bool:
    """True; on a busy machine it may be before anything has befallen what is read."""
    assert read(client, session) is None, "bytes that aren't the recording's were given"
    return True


def in_bucket(faulty: FaultyWorld, name: str) -> tuple[str, str]:
    bucket, _, prefix = faulty.spec.session_recordings_uri.removeprefix("s3://").partition("/")
    return bucket, f"{prefix}/{name}"


def versions(faulty: FaultyWorld, session: str) -> int:
    bucket, name = in_bucket(faulty, f"{session}.tar")
    return len(faulty.world.sandbox.client("s3").list_object_versions(Bucket=bucket, Prefix=name)["Versions"])
