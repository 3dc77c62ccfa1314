"""Promotion, disabling and their history over ExternalAuditStorageService and a state database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
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
from tests.grpc.failures import Failure, failing
from tests.grpc.rig import Rig, serving
from tests.grpc.test_external_storages import SETTER_UP, spec
from tests.loops import in_loop
from tests.storages_under_test import ACCOUNT, ROLE, Storages, storages

Codes = grpc.StatusCode
HOUR_MS = 3_600_000


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Storages]:
    with storages(tmp_path) as made:
        yield made


def serving_storages(behind: Storages, **options: Any) -> Any:
    return serving(drafts=behind.drafts, promotions=behind.promotions, **options)


async def drafted(stub: Any, **fields: str) -> storage_pb.ExternalAuditStorage:
    answer = await stub.CreateDraft(pb.CreateDraftRequest(spec=spec(**fields), description="for the auditors"))
    return answer.draft


async def promoted(behind: Storages, stub: Any, **fields: str) -> storage_pb.ExternalAuditStorage:
    draft = await drafted(stub, **fields)
    behind.add_test(draft.revision)
    return (await stub.PromoteToCluster(pb.PromoteToClusterRequest(revision=draft.revision))).cluster


@in_loop
async def test_a_tested_draft_comes_into_force_and_everyone_s_part_is_told(behind: Storages) -> None:
    async with serving_storages(behind) as rig, rig.user("editor", name="alice") as alice:
        draft = await drafted(Stub(alice))
        test_id = behind.add_test(draft.revision)
        async with rig.user("editor", name="carol") as carol:
            stub: Any = Stub(carol)
            cluster = (await stub.PromoteToCluster(pb.PromoteToClusterRequest(revision=draft.revision))).cluster
            assert cluster == (await stub.GetCluster(pb.GetClusterRequest())).cluster
            assert (await StatusServiceStub(carol).GetStatus(GetStatusRequest())).cluster == cluster
            gone = await failing(stub.GetDraft(pb.GetDraftRequest()))
            (row,) = (await stub.ListPromotions(pb.ListPromotionsRequest())).promotions
    assert behind.switch.went == [cluster.storage_id] == [draft.storage_id]
    assert (gone.code, gone.reason) == (Codes.NOT_FOUND, "NO_EXTERNAL_STORAGE")
    assert (cluster.stage, cluster.spec, cluster.options) == (2, draft.spec, draft.options)
    assert (cluster.drafter.name, cluster.promoter.name) == ("alice", "carol")
    assert (cluster.description, cluster.last_test.id) == ("for the auditors", test_id)
    assert (row.kind, row.storage_id, row.role_arn) == (storage_pb.PROMOTION_KIND_PROMOTE, cluster.storage_id, ROLE)
    assert (row.drafter.name, row.test.tester.name, row.promoter.name) == ("alice", "bob", "carol")
    assert (row.test.id, row.forced, row.description) == (test_id, False, "for the auditors")
    event = behind.events()[-1]
    assert (event["event"], event["code"], event["user"]) == ("external_audit_storage.enable", "TEA001I", "carol")
    assert {name: event["details"][name] for name in event["details"]} == {
        each.name: getattr(draft.spec, each.name) for each in draft.spec.DESCRIPTOR.fields
    }
    assert (event["drafter"]["name"], event["test"]["tester"]["name"]) == ("alice", "bob")
    assert (event["storage_id"], event["replaced"]) == (cluster.storage_id, "default")


Setting = Callable[[Storages, str], object]
NOT_PASSED: dict[str, Setting] = {
    "none": lambda behind, revision: None,
    "failed": lambda behind, revision: behind.add_test(revision, passed=False),
    "failed after one that passed": lambda behind, revision: (
        behind.add_test(revision),
        behind.add_test(revision, passed=False, age_ms=30_000),
    ),
    "failed since, at an earlier time: the clock was set back": lambda behind, revision: (
        behind.add_test(revision, age_ms=30_000),
        behind.add_test(revision, passed=False, age_ms=60_000),
    ),
    "failed since, within the same millisecond": lambda behind, revision: (
        behind.add_test(revision, id="ffffffff"),
        behind.add_test(revision, passed=False, id="00000000"),
    ),
    "an hour and more ago": lambda behind, revision: behind.add_test(revision, age_ms=HOUR_MS + 1),
    "in the future": lambda behind, revision: behind.add_test(revision, age_ms=-1),
    "of another revision": lambda behind, revision: behind.add_test("other"),
    "of another revision of the integration": lambda behind, revision: behind.add_test(
        revision, integration_revision="i-0"
    ),
    "of another role": lambda behind, revision: behind.add_test(
        revision, role_arn=f"arn:aws:iam::{ACCOUNT}:role/other"
    ),
    "of another integration": lambda behind, revision: behind.add_test(revision, integration="other"),
    "before the integration changed": lambda behind, revision: (
        behind.add_test(revision),
        behind.change_integration(revision="i-2"),
    ),
}
PASSED: dict[str, Setting] = {
    "now": lambda behind, revision: behind.add_test(revision, age_ms=0),
    "an hour ago": lambda behind, revision: behind.add_test(revision, age_ms=HOUR_MS),
    "after one that failed": lambda behind, revision: (
        behind.add_test(revision, passed=False),
        behind.add_test(revision, age_ms=30_000),
    ),
    "after one that failed, at an earlier time": lambda behind, revision: (
        behind.add_test(revision, passed=False, age_ms=30_000),
        behind.add_test(revision),
    ),
    "though another will fail": lambda behind, revision: (
        behind.add_test(revision),
        behind.add_test(revision, passed=False, age_ms=-1),
    ),
}


async def promote(behind: Storages, rig: Rig, setting: Setting, **request: Any) -> Failure | None:
    """How it fails; None where it goes well. The draft stays where it fails."""
    async with rig.user("editor") as channel:
        stub: Any = Stub(channel)
        draft = await drafted(stub)
        setting(behind, draft.revision)
        asked = pb.PromoteToClusterRequest(**{"revision": draft.revision} | request)
        try:
            await stub.PromoteToCluster(asked)
        except grpc.aio.AioRpcError:
            failure = await failing(stub.PromoteToCluster(asked))
            assert (await stub.GetDraft(pb.GetDraftRequest())).draft.spec == draft.spec
            assert behind.switch.went == []
            assert len(behind.events()) == 1
            return failure
    return None


@pytest.mark.parametrize("name", NOT_PASSED)
@in_loop
async def test_without_a_test_passed_for_exactly_this_nothing_is_promoted(behind: Storages, name: str) -> None:
    async with serving_storages(behind) as rig:
        failure = await promote(behind, rig, NOT_PASSED[name])
    assert failure
    assert (failure.code, failure.reason) == (Codes.FAILED_PRECONDITION, "TEST_NOT_PASSED")


@pytest.mark.parametrize("name", PASSED)
@in_loop
async def test_the_latest_test_counts_for_an_hour(behind: Storages, name: str) -> None:
    async with serving_storages(behind) as rig:
        assert await promote(behind, rig, PASSED[name]) is None


@pytest.mark.parametrize("name", NOT_PASSED)
@in_loop
async def test_what_is_forced_needs_no_test_and_says_so(behind: Storages, name: str) -> None:
    async with serving_storages(behind) as rig:
        assert await promote(behind, rig, NOT_PASSED[name], force=True, reason="the old account closes") is None
        async with rig.user("editor") as channel:
            (row,) = (await Stub(channel).ListPromotions(pb.ListPromotionsRequest())).promotions
    assert (row.forced, row.reason, row.HasField("test")) == (True, "the old account closes", False)
    event = behind.events()[-1]
    assert (event["forced"], event["reason"], event["test"]) == (True, "the old account closes", None)


PRECONDITIONS: dict[str, tuple[Setting, dict[str, Any], Codes, str]] = {
    "another revision": (lambda b, r: b.add_test(r), {"revision": "other"}, Codes.ABORTED, "STALE_REVISION"),
    "no revision": (lambda b, r: b.add_test(r), {"revision": ""}, Codes.INVALID_ARGUMENT, "INVALID_REQUEST"),
    "forced without a reason": (
        lambda b, r: None,
        {"force": True, "reason": " "},
        Codes.INVALID_ARGUMENT,
        "INVALID_REQUEST",
    ),
    "reason too long": (lambda b, r: b.add_test(r), {"reason": "x" * 1025}, Codes.INVALID_ARGUMENT, "INVALID_REQUEST"),
    "reason with NUL": (lambda b, r: b.add_test(r), {"reason": "x\0"}, Codes.INVALID_ARGUMENT, "INVALID_REQUEST"),
    "no delivery": (
        lambda b, r: (b.add_test(r), setattr(b.switch, "why_not", "not built in")),
        {},
        Codes.FAILED_PRECONDITION,
        "SWITCH_UNAVAILABLE",
    ),
    "no delivery, forced": (
        lambda b, r: setattr(b.switch, "why_not", "not built in"),
        {"force": True, "reason": "now"},
        Codes.FAILED_PRECONDITION,
        "SWITCH_UNAVAILABLE",
    ),
    "integration gone": (lambda b, r: (b.add_test(r), b.remove_integration()), {}, Codes.NOT_FOUND, "NOT_FOUND"),
    "role in another partition": (
        lambda b, r: b.change_integration(role_arn=f"arn:aws-cn:iam::{ACCOUNT}:role/audit"),
        {"force": True, "reason": "now"},
        Codes.FAILED_PRECONDITION,
        "ACCOUNT_CHANGED",
    ),
    "role in another account": (
        lambda b, r: b.change_integration(role_arn="arn:aws:iam::210987654321:role/audit"),
        {"force": True, "reason": "now"},
        Codes.FAILED_PRECONDITION,
        "ACCOUNT_CHANGED",
    ),
}


@pytest.mark.parametrize("name", PRECONDITIONS)
@in_loop
async def test_what_is_refused_changes_nothing(behind: Storages, name: str) -> None:
    setting, request, code, reason = PRECONDITIONS[name]
    async with serving_storages(behind) as rig:
        failure = await promote(behind, rig, setting, **request)
    assert failure
    assert (failure.code, failure.reason) == (code, reason)


@in_loop
async def test_a_region_that_configuration_no_more_allows_is_not_promoted(behind: Storages) -> None:
    async with serving_storages(behind) as rig, rig.user("editor") as channel:
        draft = await drafted(Stub(channel))
    behind.regions = RegionRule("eu-west-1")
    async with serving_storages(behind) as rig, rig.user("editor") as channel:
        request = pb.PromoteToClusterRequest(revision=draft.revision, force=True, reason="now")
        failure = await failing(Stub(channel).PromoteToCluster(request))
    assert (failure.code, failure.reason) == (Codes.FAILED_PRECONDITION, "DRAFT_INVALID")


@in_loop
async def test_results_go_to_no_bucket_that_has_events_of_a_storage_that_was_in_force(behind: Storages) -> None:
    """They expire there, by a rule on the bucket. Nor go events to where results do."""
    into_events = {
        "audit_events_long_term_uri": "s3://other-longterm/events",
        "session_recordings_uri": "s3://other-longterm/sessions",
        "athena_results_uri": "s3://audit-longterm/events",
    }
    into_results = {
        "audit_events_long_term_uri": "s3://audit-transient/events",
        "session_recordings_uri": "s3://audit-transient/sessions",
        "athena_results_uri": "s3://other-transient/query_results",
    }
    async with serving_storages(behind) as rig, rig.user("editor") as channel:
        stub: Any = Stub(channel)
        cluster = await promoted(behind, stub)
        await stub.DisableCluster(pb.DisableClusterRequest(revision=cluster.revision, reason="over"))
        for fields, field in ((into_events, "athena_results_uri"), (into_results, "audit_events_long_term_uri")):
            failure = await failing(stub.CreateDraft(pb.CreateDraftRequest(spec=spec(**fields))))
            assert (failure.code, list(failure.violations)) == (Codes.INVALID_ARGUMENT, [f"spec.{field}"])
        await drafted(stub)  # its own place again


@in_loop
async def test_a_draft_whose_results_would_go_to_events_is_not_promoted_though_it_is_there(behind: Storages) -> None:
    """One that was made before that was looked at."""
    async with serving_storages(behind) as rig, rig.user("editor") as channel:
        draft = await drafted(Stub(channel))
        with behind.store.changing() as change:
            row = change.storage("draft")
            assert row is not None
            other = row.spec.replace("audit-transient", "other").replace("audit-longterm", "audit-transient")
            change.put(replace(row, stage="cluster", revision="r", storage_id="aws-0", spec=other))
        request = pb.PromoteToClusterRequest(revision=draft.revision, force=True, reason="now")
        failure = await failing(Stub(channel).PromoteToCluster(request))
    assert (failure.code, failure.reason) == (Codes.FAILED_PRECONDITION, "DRAFT_INVALID")


@in_loop
async def test_the_role_of_the_guide_may_promote_and_neither_force_nor_disable(
    behind: Storages, tmp_path: Path
) -> None:
    roles = tmp_path / "roles"
    roles.mkdir()
    (roles / "guide.yaml").write_text(SETTER_UP)
    async with serving_storages(behind, roles=roles) as rig, rig.user("setter-up") as channel:
        stub: Any = Stub(channel)
        draft = await drafted(stub)
        force = pb.PromoteToClusterRequest(revision=draft.revision, force=True)
        forced = await failing(stub.PromoteToCluster(force))
        behind.add_test(draft.revision)
        await stub.PromoteToCluster(pb.PromoteToClusterRequest(revision=draft.revision))
        assert len((await stub.ListPromotions(pb.ListPromotionsRequest())).promotions) == 1
        disabled = await failing(stub.DisableCluster(pb.DisableClusterRequest()))
    needed = {"kind": "external_audit_storage", "verb": "delete"}
    for failure in forced, disabled:
        assert (failure.code, failure.reason) == (Codes.PERMISSION_DENIED, "ACCESS_DENIED")
        assert failure.metadata == needed


@in_loop
async def test_disabling_goes_back_to_the_default_storage_and_keeps_the_draft(behind: Storages) -> None:
    async with serving_storages(behind) as rig, rig.user("editor") as channel:
        stub: Any = Stub(channel)
        none = await failing(stub.DisableCluster(pb.DisableClusterRequest()))
        cluster = await promoted(behind, stub)
        draft = await drafted(stub, glue_table="other")
        stale = await failing(stub.DisableCluster(pb.DisableClusterRequest(revision=draft.revision)))
        await stub.DisableCluster(pb.DisableClusterRequest(revision=cluster.revision, reason="moving house"))
        gone = await failing(stub.GetCluster(pb.GetClusterRequest()))
        assert (await stub.GetDraft(pb.GetDraftRequest())).draft == draft
        rows = (await stub.ListPromotions(pb.ListPromotionsRequest())).promotions
    assert [(each.code, each.reason) for each in (none, stale, gone)] == [
        (Codes.NOT_FOUND, "NO_EXTERNAL_STORAGE"),
        (Codes.ABORTED, "STALE_REVISION"),
        (Codes.NOT_FOUND, "NO_EXTERNAL_STORAGE"),
    ]
    assert behind.switch.went == [cluster.storage_id, "default"]
    assert (rows[0].kind, rows[0].storage_id) == (storage_pb.PROMOTION_KIND_DISABLE, "default")
    assert (rows[0].reason, rows[0].spec, rows[0].HasField("drafter")) == ("moving house", cluster.spec, False)
    event = behind.events()[-1]
    assert (event["event"], event["code"], event["reason"]) == (
        "external_audit_storage.disable",
        "TEA002I",
        "moving house",
    )
    assert (event["storage_id"], event["replaced"]) == ("default", cluster.storage_id)


@in_loop
async def test_the_same_place_takes_up_its_id_whatever_else_changes(behind: Storages) -> None:
    async with serving_storages(behind) as rig, rig.user("editor") as channel:
        stub: Any = Stub(channel)
        first = await promoted(behind, stub)
        same = await promoted(behind, stub, athena_workgroup="other", athena_results_uri="s3://other-transient/r")
        other = await promoted(behind, stub, session_recordings_uri="s3://audit-longterm/elsewhere")
        await stub.DisableCluster(pb.DisableClusterRequest())
        again = await promoted(behind, stub)
    ids = [each.storage_id for each in (first, same, other)]
    assert behind.switch.went == [*ids, "default", again.storage_id]
    assert ids[0] == ids[1] == again.storage_id != ids[2]


@in_loop
async def test_the_history_comes_in_pages_newest_first(behind: Storages) -> None:
    async with serving_storages(behind) as rig, rig.user("editor") as channel:
        stub: Any = Stub(channel)
        for number in range(5):
            await promoted(behind, stub, glue_table=f"t{number}")
        pages, token = [], ""
        while True:
            answer = await stub.ListPromotions(pb.ListPromotionsRequest(page_size=2, page_token=token))
            pages.append([row.spec.glue_table for row in answer.promotions])
            token = answer.next_page_token
            if not token:
                break
        wrong = [
            await failing(stub.ListPromotions(pb.ListPromotionsRequest(**request)))
            for request in ({"page_size": -1}, {"page_token": "x"}, {"page_token": "cHJvbW90aW9uczp4"})
        ]
    assert pages == [["t4", "t3"], ["t2", "t1"], ["t0"]]
    assert [each.reason for each in wrong] == ["INVALID_REQUEST", "INVALID_PAGE_TOKEN", "INVALID_PAGE_TOKEN"]
