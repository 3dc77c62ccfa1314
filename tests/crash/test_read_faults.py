"""Whatever goes wrong on the way to S3 while events are read there: no answer is wrong, none is partial in silence."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from extaudit_client import Client, ExtauditError, Query, Unavailable

from tests.crash.faulty_world import Case, FaultyWorld
from tests.external_world import PATIENCE
from tests.fault_proxy.faults import CutAnswer, Late, LostAnswer, Refused, WrongBytes
from tests.fault_proxy.plan import Planned, Where
from tests.polling import until, until_given

FIRST_DAY = datetime(2025, 3, 1, tzinfo=UTC)
READS = {
    "wrong bytes": WrongBytes(),
    "wrong bytes without a checksum": WrongBytes(told=False),
    "a reset": CutAnswer(),
    "no answer": LostAnswer(),
    "an error": Refused("InternalError", 500),
    "an answer that comes too late": Late(PATIENCE + 1),
    "a denial": Refused("AccessDenied", 403),
}
ASK = Where("POST", "^/$")
ASKS = (LostAnswer(), CutAnswer(), Refused("InternalError", 500))
"""What befalls one of the requests of a query to Glue and Athena."""
EXPORTED = len(READS)
"""The day whose object is first read by an export."""


@pytest.mark.timeout(600)
def test_no_fault_of_a_read_makes_an_answer_wrong(faulty: FaultyWorld) -> None:
    """It is complete, or says that it isn't, and the next one is."""
    with faulty.serving() as client:
        days = range(EXPORTED + 1)
        list(client.emit_stream([read_event(day, number) for day in days for number in range(10)]))
        faulty.until_delivered(client)
    shutil.rmtree(faulty.world.data_dir / "cache")
    with faulty.serving() as client:
        for day, fault in enumerate(READS.values()):
            planned = faulty.plan(Case(fault, (object_of(day),)))
            until_past(planned, client, day)
        for number, fault in enumerate(ASKS * 2, start=1):
            planned = faulty.plan(Case(fault, (ASK,), first=number))
            until_past(planned, client, 0, "athena")
        everything = sum((whole(day) for day in range(EXPORTED + 1)), Counter[bytes]())
        faulty.plan(Case(WrongBytes(told=False), (object_of(EXPORTED),)))
        assert export(client) in (None, everything)
        assert until_given(lambda: export(client)) == everything


def read_event(day: int, number: int) -> bytes:
    time = (FIRST_DAY + timedelta(days=day, seconds=number)).isoformat()
    return json.dumps({"event": "read", "uid": f"{day}.{number}", "time": time}).encode()


def whole(day: int) -> Counter[bytes]:
    return Counter(read_event(day, number) for number in range(10))


def object_of(day: int) -> Where:
    return Where("GET", rf"/{(FIRST_DAY + timedelta(days=day)):%Y-%m-%d}/[^/]+\.parquet$")


def search(client: Client, day: int, engine: str = "") -> tuple[Counter[bytes], bool]:
    """What is found of a day, and whether the answer says that it is complete."""
    begins = FIRST_DAY + timedelta(days=day)
    try:
        page = client.search(
            Query(types=("read",), from_time=begins, to_time=begins + timedelta(days=1), engine=engine)
        )
    except Unavailable:  # as where it is Athena that is asked for, and gives no answer
        return Counter(), False
    return Counter(row.json for row in page.rows), not [part for part in page.missing if part.name]


def until_past(planned: Planned, client: Client, day: int, engine: str = "") -> None:
    """Search a day until the fault has befallen it and an answer after that is complete; what isn't has nothing.

    The next one may not be complete either: the service's patience with AWS is short here, and a busy machine's isn't.
    """

    def is_past() -> bool:
        befallen = planned.is_over
        found, complete = search(client, day, engine)
        assert found == (whole(day) if complete else Counter()), planned
        return befallen and complete

    until(is_past)


def export(client: Client) -> Counter[bytes] | None:
    """Everything; None where it is said not to be possible now."""
    try:
        return Counter(data for block in client.export(Query(types=("read",))) for data in block.payloads())
    except ExtauditError:
        return None
