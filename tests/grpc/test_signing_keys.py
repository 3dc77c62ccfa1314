"""RotateSigningKey: what it refuses before anything is asked of the keys, and what it tells of them."""

from __future__ import annotations

import grpc
import pytest
from extaudit.v1 import integration_pb2 as key_pb
from extaudit.v1 import integration_service_pb2 as pb
from extaudit.v1.integration_service_pb2_grpc import IntegrationServiceStub

from server.state.signing_keys import KeyState, SigningKey
from tests.grpc.failures import failing
from tests.grpc.rig import serving
from tests.loops import in_loop

WRONG = {
    "an old key is dropped without a reason": pb.RotateSigningKeyRequest(drop_old=True),
    "a reason too long": pb.RotateSigningKeyRequest(reason="a" * 1_025),
    "a reason with a NUL": pb.RotateSigningKeyRequest(drop_old=True, reason="a\0b"),
}


@in_loop
async def test_wrong_requests_never_reach_the_keys() -> None:
    async with serving() as rig, rig.user("editor") as channel:
        for request in WRONG.values():
            failure = await failing(IntegrationServiceStub(channel).RotateSigningKey(request))
            assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
            assert failure.violations == ["reason"]
        assert not rig.key_rotation.asked


@in_loop
async def test_the_answer_tells_ids_states_and_times_and_no_part_of_a_key() -> None:
    async with serving() as rig, rig.user("editor", name="root") as channel:
        rig.key_rotation.keys = [
            SigningKey("a", KeyState.NEXT, {"n": "public"}, "wrapped-half", 4_000),
            SigningKey("b", KeyState.ACTIVE, {"n": "public"}, "wrapped-half", 3_000, 3_500),
            SigningKey("c", KeyState.RETIRING, {"n": "public"}, "", 2_000, 2_500, 9_000),
            SigningKey("d", KeyState.RETIRED, {"n": "public"}, "", 1_000, 1_500, 2_000),
        ]
        request = pb.RotateSigningKeyRequest(drop_old=True, reason="stolen")
        answer = await IntegrationServiceStub(channel).RotateSigningKey(request)
        [(access, drop_old, reason)] = rig.key_rotation.asked
    assert (access.identity.name, drop_old, reason) == ("root", True, "stolen")
    assert [(key.key_id, key_pb.SigningKeyState.Name(key.state).rpartition("_")[2]) for key in answer.keys] == [
        ("a", "NEXT"),
        ("b", "ACTIVE"),
        ("c", "RETIRING"),
        ("d", "RETIRED"),
    ]
    times = [(key.create_time, key.activate_time, key.retire_time) for key in answer.keys]
    assert [[time.ToMilliseconds() for time in each] for each in times] == [
        [4_000, 0, 0],
        [3_000, 3_500, 0],
        [2_000, 2_500, 9_000],
        [1_000, 1_500, 2_000],
    ]
    assert b"wrapped" not in answer.SerializeToString()
    assert b"public" not in answer.SerializeToString()


@pytest.mark.parametrize("roles", [("auditor",), ("importer",), ("access",)])
@in_loop
async def test_without_the_right_nothing_is_asked(roles: tuple[str, ...]) -> None:
    async with serving() as rig, rig.user(*roles) as channel:
        failure = await failing(IntegrationServiceStub(channel).RotateSigningKey(pb.RotateSigningKeyRequest()))
        assert failure.code is grpc.StatusCode.PERMISSION_DENIED
        assert not rig.touched
