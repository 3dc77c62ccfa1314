"""GetIamPolicy and PlanInfrastructure over a state database: what callers get, and how they are refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from extaudit.v1 import external_audit_storage_service_pb2 as pb
from extaudit.v1.external_audit_storage_service_pb2_grpc import ExternalAuditStorageServiceStub as Stub

from server.external_storage.iam_policy import iam_policy, policy_text
from server.external_storage.planning import infrastructure_plan
from server.grpc_api.infrastructure_messages import plan_message
from server.integrations.integration import RoleArn
from server.storage.spec import StorageOptions
from tests.grpc.failures import failing
from tests.grpc.rig import serving
from tests.loops import in_loop
from tests.storages_under_test import ACCOUNT, REQUEST, ROLE, SPEC, Storages, access, storages

Codes = grpc.StatusCode
DRAFT, CLUSTER = 1, 2
KEY = f"arn:aws:kms:us-west-2:{ACCOUNT}:key/9f5f2f0c-6a0a-4a63-8b0f-0d2b3d3c2a11"
OTHER = f"arn:aws:iam::{ACCOUNT}:role/teams/other"
OPTIONS = StorageOptions(kms_key_arn=KEY, retention_days=1460)
PARSED = RoleArn("aws", ACCOUNT, "/", "audit")


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Storages]:
    with storages(tmp_path) as made:
        asyncio.run(made.drafts.create(access(), replace(REQUEST, options=OPTIONS)))
        yield made


@pytest.mark.parametrize(
    ("request_", "role", "key"),
    [
        ({}, ROLE, KEY),
        ({"without_kms": True}, ROLE, ""),
        ({"role_arn": OTHER}, OTHER, KEY),
    ],
    ids=["own role", "without the key", "another role"],
)
@in_loop
async def test_the_policy_is_that_of_the_draft(behind: Storages, request_: Any, role: str, key: str) -> None:
    async with serving(plans=behind.plans) as rig, rig.user("editor") as channel:
        answer = await Stub(channel).GetIamPolicy(pb.GetIamPolicyRequest(stage=DRAFT, **request_))
    assert (answer.policy_name, answer.role_arn) == (SPEC.policy_name, role)
    assert answer.policy == policy_text(iam_policy(SPEC, "aws", ACCOUNT, key))


@in_loop
async def test_the_plan_is_that_of_the_draft_and_its_revision(behind: Storages) -> None:
    async with serving(plans=behind.plans, drafts=behind.drafts) as rig, rig.user("editor") as channel:
        stub: Any = Stub(channel)
        answer = await stub.PlanInfrastructure(pb.PlanInfrastructureRequest(stage=DRAFT))
        draft = (await stub.GetDraft(pb.GetDraftRequest())).draft
    plan = infrastructure_plan(SPEC, OPTIONS, PARSED, "extaudit.example.com")
    assert answer.plan == plan_message(plan)
    assert answer.revision == draft.revision
    assert json.loads(answer.plan.role_policy.policy) == iam_policy(SPEC, "aws", ACCOUNT, KEY)


WRONG: dict[str, tuple[str, Any, Codes, str, list[str]]] = {
    "no stage": ("GetIamPolicy", {}, Codes.INVALID_ARGUMENT, "INVALID_REQUEST", ["stage"]),
    "no stage to plan": ("PlanInfrastructure", {}, Codes.INVALID_ARGUMENT, "INVALID_REQUEST", ["stage"]),
    "unknown stage": ("PlanInfrastructure", {"stage": 9}, Codes.INVALID_ARGUMENT, "INVALID_REQUEST", ["stage"]),
    "both wrong": ("GetIamPolicy", {"role_arn": "x"}, Codes.INVALID_ARGUMENT, "INVALID_REQUEST", ["stage", "role_arn"]),
    "a user": (
        "GetIamPolicy",
        {"stage": DRAFT, "role_arn": f"arn:aws:iam::{ACCOUNT}:user/audit"},
        Codes.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        ["role_arn"],
    ),
    "another account": (
        "GetIamPolicy",
        {"stage": DRAFT, "role_arn": "arn:aws:iam::999999999999:role/audit"},
        Codes.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        ["role_arn"],
    ),
    "another partition": (
        "GetIamPolicy",
        {"stage": DRAFT, "role_arn": f"arn:aws-cn:iam::{ACCOUNT}:role/audit"},
        Codes.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        ["role_arn"],
    ),
    "no cluster": ("GetIamPolicy", {"stage": CLUSTER}, Codes.NOT_FOUND, "NO_EXTERNAL_STORAGE", []),
    "no cluster to plan": ("PlanInfrastructure", {"stage": CLUSTER}, Codes.NOT_FOUND, "NO_EXTERNAL_STORAGE", []),
}


@in_loop
async def test_what_can_not_be_answered_says_why(behind: Storages) -> None:
    async with serving(plans=behind.plans) as rig, rig.user("editor") as channel:
        for name, (method, fields, code, reason, violations) in WRONG.items():
            failure = await failing(getattr(Stub(channel), method)(getattr(pb, f"{method}Request")(**fields)))
            assert (failure.code, failure.reason, failure.violations) == (code, reason, violations), name


@pytest.mark.parametrize("role", ["arn:aws:iam::999999999999:role/audit", f"arn:aws-us-gov:iam::{ACCOUNT}:role/audit"])
@in_loop
async def test_a_role_that_moved_to_another_account_has_no_plan_and_no_policy(behind: Storages, role: str) -> None:
    behind.change_integration(role_arn=role)
    async with serving(plans=behind.plans) as rig, rig.user("editor") as channel:
        stub: Any = Stub(channel)
        calls = [
            stub.GetIamPolicy(pb.GetIamPolicyRequest(stage=DRAFT)),
            stub.PlanInfrastructure(pb.PlanInfrastructureRequest(stage=DRAFT)),
        ]
        failures = [await failing(call) for call in calls]
    for failure in failures:
        assert (failure.code, failure.reason) == (Codes.FAILED_PRECONDITION, "ACCOUNT_CHANGED")
        assert failure.metadata == {"account_id": ACCOUNT}


ROLE_FILE = """
kind: role
version: v7
metadata: {{name: almost}}
spec:
  allow:
    rules:
      - {{resources: [external_audit_storage], verbs: {verbs}}}
      - {{resources: [integration], verbs: {integration}}}
"""


@pytest.mark.parametrize(
    ("method", "verbs", "integration", "allowed"),
    [
        ("GetIamPolicy", ["create", "update", "list", "delete"], ["read"], False),
        ("GetIamPolicy", ["read"], ["list"], True),
        ("PlanInfrastructure", ["create", "read", "list", "delete"], ["read"], False),
        ("PlanInfrastructure", ["update"], ["create", "list", "update", "delete"], False),
        ("PlanInfrastructure", ["update"], ["read"], True),
    ],
)
@in_loop
async def test_exactly_the_rights_of_the_table_are_needed_and_refusals_look_nothing_up(
    behind: Storages, tmp_path: Path, method: str, verbs: list[str], integration: list[str], allowed: bool
) -> None:
    roles = tmp_path / "roles"
    roles.mkdir()
    (roles / "almost.yaml").write_text(ROLE_FILE.format(verbs=verbs, integration=integration))
    request = getattr(pb, f"{method}Request")(stage=DRAFT)
    async with serving(roles=roles, plans=behind.plans if allowed else None) as rig, rig.user("almost") as channel:
        call = getattr(Stub(channel), method)(request)
        if allowed:
            await call
        else:
            failure = await failing(call)
            assert (failure.code, failure.reason) == (Codes.PERMISSION_DENIED, "ACCESS_DENIED")
            assert not rig.touched
