"""Uploads that end in several storages: a session has one recording over all of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete

from server.errors import Unavailable
from server.recordings.recording import UploadState
from server.recordings.storages import RecordingStorages
from server.state.database import writing
from server.state.tables import recordings, uploads
from tests.clouded_uploads import DATA
from tests.memory_s3 import CloudedFiles
from tests.uploads_under_test import (
    OTHER_NODE,
    SESSION,
    S3UploadsUnderTest,
    UploadsUnderTest,
    access,
)


def test_an_upload_stays_in_its_storage_and_a_session_has_one_recording_over_all(engine: Engine) -> None:
    files = CloudedFiles()
    embedded, cloud = UploadsUnderTest(files, engine), S3UploadsUnderTest(files, engine, Path("data") / "cloud")
    active = ["default"]
    storages = RecordingStorages(embedded.storage, lambda storage_id: cloud.storage, lambda: active[0])
    for part in (cloud.uploads, cloud.uploads._beginnings, cloud.recordings, cloud.uploads._endings, cloud.settling):
        part._storages = storages
    begun_before = asyncio.run(cloud.send(DATA[:30]))
    active[0] = "aws-1"
    asyncio.run(cloud.send(DATA[30:], upload_id=begun_before, at=30))
    begun_there = asyncio.run(cloud.send(b"another", who=OTHER_NODE))
    repeat = asyncio.run(cloud.send(DATA, who=OTHER_NODE))
    assert UploadsUnderTest(files, engine).failed == 0, "what is open elsewhere isn't missed here"
    active[0] = "default"
    first, state = asyncio.run(cloud.complete(begun_before))
    assert (state, first.storage) == (UploadState.COMPLETED, "default")
    aside, state = asyncio.run(cloud.complete(begun_there, who=OTHER_NODE))
    assert (state, aside.storage) == (UploadState.KEPT_ASIDE, "aws-1")
    assert asyncio.run(cloud.complete(repeat, who=OTHER_NODE)) == (first, UploadState.REPEATED)
    assert [asyncio.run(cloud.content(each)) for each in (first, aside)] == [DATA, b"another"]
    assert asyncio.run(cloud.uploads.get(access(), begun_before)).storage == "default"


def test_of_two_storages_that_complete_a_recording_of_a_session_at_once_the_second_keeps_its_own_aside(
    engine: Engine,
) -> None:
    files = CloudedFiles()
    embedded, cloud = UploadsUnderTest(files, engine), S3UploadsUnderTest(files, engine, Path("data") / "cloud")
    for part in (cloud.recordings, cloud.uploads._endings):
        part._storages = RecordingStorages(embedded.storage, lambda storage_id: cloud.storage, lambda: "aws-1")
    upload_id = asyncio.run(cloud.send(b"another", who=OTHER_NODE))
    cloud.s3.loses = lambda operation: operation == "put_object"  # complete and recorded in S3, and not told yet
    with pytest.raises(Unavailable):
        asyncio.run(cloud.complete(upload_id, who=OTHER_NODE))
    cloud.s3.loses = lambda operation: False
    first, _ = asyncio.run(embedded.record(DATA))
    aside, state = asyncio.run(cloud.complete(upload_id, who=OTHER_NODE))
    assert (state, asyncio.run(cloud.recordings.find(SESSION))) == (UploadState.KEPT_ASIDE, first)
    assert asyncio.run(cloud.content(aside)) == b"another"


@pytest.mark.parametrize("keeps_versions", [True, False])
def test_a_recording_that_the_state_lost_is_kept_aside_where_its_session_has_got_another_meanwhile(
    engine: Engine, keeps_versions: bool
) -> None:
    """As the bucket was away when the service started without its state."""
    files = CloudedFiles(keeps_versions=keeps_versions)
    embedded, cloud = UploadsUnderTest(files, engine), S3UploadsUnderTest(files, engine, Path("data") / "cloud")
    lost, _ = asyncio.run(cloud.record(DATA))
    with writing(engine).begin() as connection:
        for table in (recordings, uploads):
            connection.execute(delete(table))
    second, _ = asyncio.run(embedded.record(b"another", who=OTHER_NODE))
    later = S3UploadsUnderTest(files, engine, Path("data") / "cloud")
    for part in (later.recordings, later.settling):
        part._storages = RecordingStorages(embedded.storage, lambda storage_id: later.storage, lambda: "default")
    asyncio.run(later.settling.look())
    assert asyncio.run(later.recordings.find(SESSION)) == second
    aside = asyncio.run(later.recordings.find(SESSION, lost.upload_id))
    assert aside == replace(lost, aside=True)
    assert asyncio.run(later.content(aside)) == DATA
    row = later.store.get(lost.upload_id[:32])
    assert row is not None
    assert row.state == UploadState.KEPT_ASIDE.value
