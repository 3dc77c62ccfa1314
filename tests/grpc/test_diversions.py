"""Diversions over ExternalAuditStorageService."""

from __future__ import annotations

from typing import Any

import grpc
from extaudit.v1 import external_audit_storage_service_pb2 as pb
from extaudit.v1.external_audit_storage_service_pb2_grpc import ExternalAuditStorageServiceStub as Stub

from server.audit_log.diverting import Backlog
from server.external_storage.backlogs import DiversionRequest, Diverted
from server.state.uploads import UploadRow
from tests.grpc.failures import failing
from tests.grpc.rig import serving
from tests.loops import in_loop

Codes = grpc.StatusCode


@in_loop
async def test_what_was_diverted_is_answered_and_a_reason_that_is_too_long_is_refused_first() -> None:
    upload = UploadRow("k", "u", "s", "aws-gone", "h", "open", "{}", "o", 7, 1_500, None, 0)
    backlog = Backlog(2, 5, 99, (("l", 1, 3), ("l", 7, 8)), 1_000, 2_000)
    async with serving() as rig, rig.user("editor", name="carol") as carol:
        stub: Any = Stub(carol)
        rig.backlogs.waits["aws-gone"] = Diverted(backlog, [upload])
        asked = pb.DivertStorageRequest(storage_id="aws-gone", to="default", reason="closed", validate_only=True)
        answer = await stub.DivertStorage(asked)
        ((access, request),) = rig.backlogs.asked
        long = await failing(stub.DivertStorage(pb.DivertStorageRequest(storage_id="aws-gone", reason="x" * 1025)))
        rig.backlogs.waits["aws-gone"] = Diverted(Backlog(), [])
        nothing = await stub.DivertStorage(asked)
    assert (access.identity.name, request) == ("carol", DiversionRequest("aws-gone", "default", "closed", True))
    assert (answer.batches, answer.events, answer.bytes) == (2, 5, 99)
    ranges = [(each.log_id, each.first_sequence, each.last_sequence) for each in answer.sequences]
    assert ranges == [("l", 1, 3), ("l", 7, 8)]
    times = answer.oldest_received_time, answer.newest_received_time, answer.uploads[0].begin_time
    assert [each.ToMilliseconds() for each in times] == [1_000, 2_000, 1_500]
    assert [(each.session_id, each.bytes) for each in answer.uploads] == [("s", 7)]
    assert (long.code, long.reason, len(rig.backlogs.asked)) == (Codes.INVALID_ARGUMENT, "INVALID_REQUEST", 2)
    assert nothing == pb.DivertStorageResponse()
