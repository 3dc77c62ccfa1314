"""Whatever goes wrong on the way to S3 while events come in: each is once where its acknowledgement says."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from server.audit_log.batch_codec import SCHEMA
from tests.crash.bucket import check_stored, in_bucket
from tests.crash.faulty_world import Case, FaultyWorld
from tests.crash.switching_load import Emitting, places
from tests.external_world import PATIENCE
from tests.fault_proxy.faults import CutAnswer, CutRequest, Late, LostAnswer, Meanwhile, Refused
from tests.fault_proxy.plan import Where

PAUSE = 0.2
"""Seconds between the messages of each writer."""
OBJECT = Where("PUT", r"/2026-11-0\d/[^/]+\.parquet$")
RECORD = Where("PUT", r"/_batches/[^?]+\.json$")
LOOK = Where("HEAD", r"\.parquet$")
DELIVERIES = {
    "an answer that is late": Case(Late(0.4), (OBJECT, RECORD), times=2),
    "an object that comes when it was given up and sent again": Case(Late(PATIENCE + 1), (OBJECT,)),
    "a storm of 503": Case(Refused("SlowDown", 503), (OBJECT, RECORD), times=3),
    "an error of S3's own": Case(Refused("InternalError", 500), (OBJECT, RECORD), times=2),
    "an error after it was done": Case(Refused("InternalError", 500, done=True), (OBJECT,)),
    "a reset in the second object's bytes": Case(CutRequest(after=100), (OBJECT,), first=2),
    "a reset in a record's answer": Case(CutAnswer(), (RECORD,)),
    "a reset in an object's answer": Case(CutAnswer(), (OBJECT,)),
    "a lost answer to the first object": Case(LostAnswer(), (OBJECT,)),
    "lost answers to both objects and the record": Case(LostAnswer(), (OBJECT, RECORD), times=3),
    "a conflict": Case(Refused("ConditionalRequestConflict", 409), (OBJECT, RECORD), times=2),
    "a conflict though it was done": Case(Refused("ConditionalRequestConflict", 409, done=True), (OBJECT, RECORD)),
    "a lost answer, and the look after it fails": Case(LostAnswer(), (OBJECT, LOOK), times=2),
    "an expired token": Case(Refused("ExpiredToken", 400), (OBJECT,), times=2),
    "a key that is disabled for a while": Case(Refused("KMS.DisabledException", 400), (OBJECT, RECORD), times=2),
    "what is denied for a while": Case(Refused("AccessDenied", 403), (OBJECT, RECORD), times=2),
}


class Others:
    """They put objects of their own where the service is about to."""

    def __init__(self, faulty: FaultyWorld) -> None:
        self._s3 = faulty.world.sandbox.client("s3")
        self._taken = list[tuple[str, str]]()
        row = {"event_type": "foreign", "event_time": datetime(2026, 11, 1, tzinfo=UTC), "event_data": "{}"}
        empty = dict.fromkeys(("uid", "session_id", "user"), "")
        body = io.BytesIO()
        pq.write_table(pa.Table.from_pylist([row | empty], SCHEMA), body)
        self._bytes = body.getvalue()

    def take(self, target: str) -> None:
        bucket, _, key = target.removeprefix("/").partition("/")
        self._taken.append((bucket, key))
        self._s3.put_object(Bucket=bucket, Key=key, Body=self._bytes)

    def check_kept(self) -> None:
        """Nothing was put over them."""
        assert len(self._taken) == 2
        for bucket, key in self._taken:
            assert self._s3.get_object(Bucket=bucket, Key=key)["Body"].read() == self._bytes


@pytest.mark.timeout(600)
def test_no_fault_of_a_delivery_loses_an_event_or_stores_it_twice(faulty: FaultyWorld) -> None:
    emitting, others = Emitting(0, PAUSE), Others(faulty)
    taken = Case(Meanwhile(others.take), (OBJECT,), times=2)
    with faulty.serving() as client:
        with emitting.running(client):
            for case in (*DELIVERIES.values(), taken):
                planned = faulty.plan(case)
                faulty.proxy.wait_for(planned)
                faulty.until_drained(client)
        faulty.until_delivered(client)
        others.check_kept()
        check_stored(in_bucket(faulty.world, faulty.spec), emitting.told, {faulty.storage})
        found = places(client, faulty.storage)
        assert {uid: {place} for uid, place in emitting.told.items()}.items() <= found.items()
