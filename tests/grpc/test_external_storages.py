"""ExternalAuditStorageService over a state database: what callers get, and how they are refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from extaudit.v1 import external_audit_storage_pb2 as storage_pb
from extaudit.v1 import external_audit_storage_service_pb2 as pb
from extaudit.v1.external_audit_storage_service_pb2_grpc import ExternalAuditStorageServiceStub as Stub
from extaudit.v1.status_service_pb2 import GetStatusRequest
from extaudit.v1.status_service_pb2_grpc import StatusServiceStub

from server.external_storage.regions import RegionRule
from tests.grpc.failures import failing
from tests.grpc.rig import serving
from tests.loops import in_loop
from tests.storages_under_test import ACCOUNT, SPEC, Storages, storages

Codes = grpc.StatusCode
FIELDS = tuple(storage_pb.ExternalAuditStorageSpec.DESCRIPTOR.fields_by_name)


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Storages]:
    with storages(tmp_path) as made:
        yield made


def spec(**fields: str) -> storage_pb.ExternalAuditStorageSpec:
    return storage_pb.ExternalAuditStorageSpec(**{name: getattr(SPEC, name) for name in FIELDS} | fields)


@in_loop
async def test_a_draft_is_generated_read_changed_and_deleted(behind: Storages) -> None:
    async with serving(drafts=behind.drafts) as rig, rig.user("editor") as channel:
        stub: Any = Stub(channel)
        made = (
            await stub.GenerateDraft(pb.GenerateDraftRequest(integration_name="production", region="eu-north-1"))
        ).draft
        assert made == (await stub.GetDraft(pb.GetDraftRequest())).draft
        changed = await stub.UpsertDraft(pb.UpsertDraftRequest(spec=spec(), revision=made.revision, description="ours"))
        assert changed.draft == (await stub.GetDraft(pb.GetDraftRequest())).draft
        await stub.DeleteDraft(pb.DeleteDraftRequest(revision=changed.draft.revision))
        gone = await failing(stub.GetDraft(pb.GetDraftRequest()))
    assert (made.stage, made.account_id, made.drafter.name) == (1, ACCOUNT, "alice")
    assert made.options.object_lock_days == 1460
    assert (changed.draft.spec, changed.draft.description) == (spec(), "ours")
    assert changed.draft.revision != made.revision
    assert (gone.code, gone.reason) == (Codes.NOT_FOUND, "NO_EXTERNAL_STORAGE")
    assert [event["event"] for event in behind.events()] == [
        "extaudit.draft.create",
        "extaudit.draft.update",
        "extaudit.draft.delete",
    ]


FAILURES: dict[str, tuple[str, Any, Codes, str]] = {
    "second draft": ("CreateDraft", pb.CreateDraftRequest(spec=spec()), Codes.ALREADY_EXISTS, "ALREADY_EXISTS"),
    "second generated": (
        "GenerateDraft",
        pb.GenerateDraftRequest(integration_name="production", region="us-east-1"),
        Codes.ALREADY_EXISTS,
        "ALREADY_EXISTS",
    ),
    "none expected": ("UpsertDraft", pb.UpsertDraftRequest(spec=spec()), Codes.ABORTED, "STALE_REVISION"),
    "another expected": (
        "UpsertDraft",
        pb.UpsertDraftRequest(spec=spec(), revision="other"),
        Codes.ABORTED,
        "STALE_REVISION",
    ),
    "another deleted": ("DeleteDraft", pb.DeleteDraftRequest(revision="other"), Codes.ABORTED, "STALE_REVISION"),
    "no cluster": ("GetCluster", pb.GetClusterRequest(), Codes.NOT_FOUND, "NO_EXTERNAL_STORAGE"),
    "revision too long": (
        "DeleteDraft",
        pb.DeleteDraftRequest(revision="r" * 65),
        Codes.INVALID_ARGUMENT,
        "INVALID_REQUEST",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
@in_loop
async def test_what_does_not_fit_the_draft_that_is_there_fails_and_changes_nothing(behind: Storages, name: str) -> None:
    method, request, code, reason = FAILURES[name]
    async with serving(drafts=behind.drafts) as rig, rig.user("editor") as channel:
        stub: Any = Stub(channel)
        made = (await stub.CreateDraft(pb.CreateDraftRequest(spec=spec()))).draft
        failure = await failing(getattr(stub, method)(request))
        assert made == (await stub.GetDraft(pb.GetDraftRequest())).draft
    assert (failure.code, failure.reason) == (code, reason)
    assert len(behind.events()) == 1


@in_loop
async def test_every_wrong_field_is_named_at_once_and_nothing_is_looked_up(behind: Storages) -> None:
    behind.engine.dispose()
    options = storage_pb.ExternalAuditStorageOptions(
        object_lock_mode=9,
        object_lock_days=-1,
        kms_key_arn="x",
        results_days=366,
        scan_limit_bytes=1,  # type: ignore[arg-type]
    )
    request = pb.CreateDraftRequest(options=options, description="\0")
    async with serving(drafts=behind.drafts) as rig, rig.user("editor") as channel:
        failure = await failing(Stub(channel).CreateDraft(request))
    assert failure.code == Codes.INVALID_ARGUMENT
    wrong = ("object_lock_days", "kms_key_arn", "results_days", "scan_limit_bytes", "object_lock_mode")
    expected = [*(f"spec.{name}" for name in FIELDS), *(f"options.{name}" for name in wrong), "description"]
    assert sorted(set(failure.violations)) == sorted(expected)


@in_loop
async def test_the_region_must_be_the_service_s_own_or_an_allowed_one(behind: Storages) -> None:
    behind.regions = RegionRule("us-west-2", ("eu-west-1",))
    async with serving(drafts=behind.drafts) as rig, rig.user("editor") as channel:
        stub: Any = Stub(channel)
        request = pb.GenerateDraftRequest(integration_name="production", region="us-east-1")
        failure = await failing(stub.GenerateDraft(request))
        made = (await stub.GenerateDraft(pb.GenerateDraftRequest(integration_name="production"))).draft
        other = pb.UpsertDraftRequest(spec=spec(region="eu-west-1"), revision=made.revision)
        assert (await stub.UpsertDraft(other)).draft.spec.region == "eu-west-1"
    assert failure.violations == ["region"]
    assert made.spec.region == "us-west-2"


@in_loop
async def test_an_integration_that_is_not_there_is_not_found(behind: Storages) -> None:
    async with serving(drafts=behind.drafts) as rig, rig.user("editor") as channel:
        request = pb.CreateDraftRequest(spec=spec(integration_name="other"))
        failure = await failing(Stub(channel).CreateDraft(request))
    assert (failure.code, failure.reason) == (Codes.NOT_FOUND, "NOT_FOUND")
    assert failure.metadata == {"resource_type": "integration", "resource_name": "other"}
    assert behind.events() == []


SETTER_UP = """
kind: role
version: v7
metadata: {name: setter-up}
spec:
  allow:
    rules:
      - resources: [integration, external_audit_storage]
        verbs: [create, update, list, read]
"""
WITHOUT = {
    "CreateDraft": ("integration", "read"),
    "GenerateDraft": ("integration", "read"),
    "UpsertDraft": ("external_audit_storage", "update"),
    "GetDraft": ("external_audit_storage", "read"),
}


@in_loop
async def test_the_role_of_the_guide_may_set_up_and_not_take_down(behind: Storages, tmp_path: Path) -> None:
    roles = tmp_path / "roles"
    roles.mkdir()
    (roles / "guide.yaml").write_text(SETTER_UP)
    async with serving(drafts=behind.drafts, roles=roles) as rig, rig.user("setter-up") as channel:
        stub: Any = Stub(channel)
        made = (await stub.CreateDraft(pb.CreateDraftRequest(spec=spec()))).draft
        await stub.UpsertDraft(pb.UpsertDraftRequest(spec=spec(), revision=made.revision))
        await stub.GetDraft(pb.GetDraftRequest())
        failure = await failing(stub.DeleteDraft(pb.DeleteDraftRequest()))
    assert (failure.code, failure.metadata) == (
        Codes.PERMISSION_DENIED,
        {"kind": "external_audit_storage", "verb": "delete"},
    )


@pytest.mark.parametrize("method", WITHOUT)
@in_loop
async def test_whoever_lacks_one_of_the_rights_is_refused_before_anything_is_looked_up(
    behind: Storages, tmp_path: Path, method: str
) -> None:
    kind, verb = WITHOUT[method]
    deny = f"\n  deny:\n    rules: [{{resources: [{kind}], verbs: [{verb}]}}]\n"
    roles = tmp_path / "roles"
    roles.mkdir()
    (roles / "guide.yaml").write_text(SETTER_UP.rstrip() + deny)
    async with serving(roles=roles) as rig, rig.user("setter-up") as channel:
        failure = await failing(getattr(Stub(channel), method)(getattr(pb, f"{method}Request")()))
        assert not rig.touched
    assert (failure.code, failure.reason) == (Codes.PERMISSION_DENIED, "ACCESS_DENIED")
    assert failure.metadata.get("also", "integration:read") == "integration:read"


@in_loop
async def test_status_shows_the_draft_to_those_who_may_read_it_alone(behind: Storages) -> None:
    async with serving(drafts=behind.drafts) as rig, rig.user("editor") as editor, rig.user("auditor") as auditor:
        empty = await StatusServiceStub(editor).GetStatus(GetStatusRequest())
        made = (await Stub(editor).CreateDraft(pb.CreateDraftRequest(spec=spec()))).draft
        full = await StatusServiceStub(editor).GetStatus(GetStatusRequest())
        less = await StatusServiceStub(auditor).GetStatus(GetStatusRequest())
    assert not empty.HasField("draft")
    assert full.draft == made
    assert not full.HasField("cluster")
    assert not less.HasField("draft")
