"""RecordingService but for the upload's stream: what is refused, handed on and mapped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from extaudit.v1 import recording_pb2
from extaudit.v1 import recording_service_pb2 as pb
from extaudit.v1.recording_service_pb2_grpc import RecordingServiceStub

from server.errors import DataLoss, NotFound, Unavailable
from server.grpc_api.recording_requests import MAX_OFFSET
from server.recordings.opening import Selection
from tests.grpc.failures import all_of, failing
from tests.grpc.rig import Rig, serving
from tests.loops import in_loop, until

Codes = grpc.StatusCode
SESSION = "0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11"
MIB = 1024 * 1024

REFUSED: list[tuple[str, Any, list[str]]] = [
    ("GetUpload", pb.GetUploadRequest(), ["upload_id"]),
    ("GetUpload", pb.GetUploadRequest(upload_id="u" * 513), ["upload_id"]),
    ("AbortUpload", pb.AbortUploadRequest(), ["upload_id"]),
    ("CompleteUpload", pb.CompleteUploadRequest(sha256="A" * 64), ["upload_id", "sha256"]),
    ("CompleteUpload", pb.CompleteUploadRequest(upload_id="u", sha256="a" * 63), ["sha256"]),
    ("CompleteUpload", pb.CompleteUploadRequest(upload_id="u", sha256="a" * 64 + "\n"), ["sha256"]),
    ("CompleteUpload", pb.CompleteUploadRequest(upload_id="u", custody_digest="A" * 64), ["custody_digest"]),
    ("CompleteUpload", pb.CompleteUploadRequest(upload_id="u", bytes=MAX_OFFSET + 1), ["bytes"]),
    ("DownloadRecording", pb.DownloadRecordingRequest(), ["session_id"]),
    (
        "DownloadRecording",
        pb.DownloadRecordingRequest(session_id="x", upload_id="u" * 513, offset=2**64 - 1, length=MAX_OFFSET + 1),
        ["session_id", "upload_id", "offset", "length"],
    ),
]


async def call(channel: grpc.aio.Channel, method: str, request: Any) -> Any:
    if method == "DownloadRecording":
        return await all_of(RecordingServiceStub(channel).DownloadRecording(request))
    return await getattr(RecordingServiceStub(channel), method)(request)


@pytest.mark.parametrize(("method", "request_", "violations"), REFUSED)
def test_every_wrong_field_is_named_and_nothing_is_asked(method: str, request_: Any, violations: list[str]) -> None:
    @in_loop
    async def check() -> None:
        async with serving() as rig, rig.user("importer", "auditor") as channel:
            failure = await failing(call(channel, method, request_))
            assert (failure.code, failure.violations) == (Codes.INVALID_ARGUMENT, violations)
            assert not rig.touched

    check()


@in_loop
async def test_an_upload_is_told_with_its_owner_and_times() -> None:
    async with serving() as rig, rig.node() as channel:
        rig.uploads.data["u-1"] = bytearray(b"abc")
        upload = (await RecordingServiceStub(channel).GetUpload(pb.GetUploadRequest(upload_id="u-1"))).upload
        assert (upload.upload_id, upload.durable_offset, upload.storage) == ("u-1", 3, "default")
        assert (upload.owner.name, upload.state) == ("host-1", recording_pb2.UPLOAD_STATE_OPEN)
        assert upload.begin_time.ToMilliseconds() == 1_500
        assert not upload.HasField("resume_time")
        assert not upload.HasField("end_time")
        aborted = (await RecordingServiceStub(channel).AbortUpload(pb.AbortUploadRequest(upload_id="u-1"))).upload
        assert (aborted.state, aborted.end_time.ToMilliseconds()) == (recording_pb2.UPLOAD_STATE_ABORTED, 3_000)


@in_loop
async def test_no_upload_is_not_found_as_an_upload() -> None:
    async with serving() as rig, rig.node() as channel:
        failure = await failing(call(channel, "GetUpload", pb.GetUploadRequest(upload_id="gone")))
        assert (failure.code, failure.reason) == (Codes.NOT_FOUND, "NOT_FOUND")
        await until(lambda: rig.records.calls)
        assert rig.records.calls[-1].hidden == "there is none"


UPDATER = """
kind: role
version: v7
metadata: {name: updater}
spec: {allow: {rules: [{resources: [session], verbs: [update]}]}}
"""


@pytest.mark.parametrize(
    ("roles", "may_update"), [(["importer"], False), (["updater"], True), (["importer", "updater"], True)]
)
def test_completion_hands_on_what_is_asked_and_whether_the_caller_may_update(
    tmp_path: Any, roles: list[str], may_update: bool
) -> None:
    (tmp_path / "updater.yaml").write_text(UPDATER)

    @in_loop
    async def check() -> None:
        async with serving(roles=tmp_path) as rig, rig.user(*roles) as channel:
            digests = {"sha256": "a" * 64, "custody_digest": "b" * 64}
            request = pb.CompleteUploadRequest(upload_id="u-1", bytes=0, partial=True, **digests)
            answer = await RecordingServiceStub(channel).CompleteUpload(request)
            assert answer.state == recording_pb2.UPLOAD_STATE_KEPT_ASIDE
            assert answer.recording.complete_time.ToMilliseconds() == 2_000
            await RecordingServiceStub(channel).CompleteUpload(pb.CompleteUploadRequest(upload_id="u-1"))
            asked = [what for _, what in rig.uploads.asked]
            assert asked == [
                ("u-1", 0, "a" * 64, "b" * 64, True, may_update),
                ("u-1", None, "", "", False, may_update),
            ]
            assert rig.transfers.outcomes == ["kept_aside", "kept_aside"]

    check()


@in_loop
async def test_a_download_gives_first_what_it_is_and_then_chunks_of_at_most_a_mebibyte() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        rig.opening.data = bytes(range(256)) * 4 * 2100  # 2.05 MiB
        request = pb.DownloadRecordingRequest(session_id=SESSION, upload_id="u", offset=3, length=4)
        first, *chunks = await call(channel, "DownloadRecording", request)
        assert first.recording.bytes == len(rig.opening.data)
        assert [len(each.chunk) for each in chunks] == [MIB, MIB, len(rig.opening.data) - 2 * MIB]
        assert b"".join(each.chunk for each in chunks) == rig.opening.data
        assert rig.opening.asked[0][1] == Selection(SESSION, "u", 3, 4)
        assert rig.transfers.bytes_given == len(rig.opening.data)


FAILURES: dict[str, tuple[Callable[[Rig], None], Codes, str]] = {
    "not found": (
        lambda rig: setattr(rig.opening, "fails", NotFound("none", hidden="h")),
        Codes.NOT_FOUND,
        "NOT_FOUND",
    ),
    "no trace": (
        lambda rig: setattr(rig.opening, "fails", Unavailable("no", reason="JOURNAL_CLOSED")),
        Codes.UNAVAILABLE,
        "JOURNAL_CLOSED",
    ),
    "damaged": (lambda rig: setattr(rig.opening, "breaks", DataLoss("d")), Codes.DATA_LOSS, "RECORDING_DAMAGED"),
}


@pytest.mark.parametrize("what", FAILURES)
def test_a_download_that_can_not_go_on_says_why(what: str) -> None:
    @in_loop
    async def check() -> None:
        fail, code, reason = FAILURES[what]
        async with serving() as rig, rig.user("auditor") as channel:
            fail(rig)
            failure = await failing(call(channel, "DownloadRecording", pb.DownloadRecordingRequest(session_id=SESSION)))
            assert (failure.code, failure.reason) == (code, reason)

    check()


@pytest.mark.parametrize("method", ["GetUpload", "AbortUpload", "CompleteUpload"])
def test_who_only_reads_touches_no_upload(method: str) -> None:
    @in_loop
    async def check() -> None:
        async with serving() as rig, rig.user("auditor", "access") as channel:
            request = getattr(pb, f"{method}Request")(upload_id="u-1")
            assert (await failing(call(channel, method, request))).code is Codes.PERMISSION_DENIED
            assert not rig.touched

    check()


@pytest.mark.parametrize("role", ["importer", "editor"])
def test_who_does_not_read_sessions_downloads_nothing(role: str) -> None:
    @in_loop
    async def check() -> None:
        async with serving() as rig, rig.user(role) as channel:
            request = pb.DownloadRecordingRequest(session_id=SESSION)
            assert (await failing(call(channel, "DownloadRecording", request))).code is Codes.PERMISSION_DENIED
            assert not rig.touched

    check()
