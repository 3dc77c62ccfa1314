"""TestConnection over a state database, with checks that a test decides: what is streamed, kept, told and refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from extaudit.v1 import connection_check_pb2 as check_pb
from extaudit.v1 import external_audit_storage_service_pb2 as pb
from extaudit.v1.external_audit_storage_service_pb2_grpc import ExternalAuditStorageServiceStub as Stub

from rbac.policy import Policy
from server.errors import FailedPrecondition
from server.external_storage import connection_tests
from server.external_storage.connection_tests import ConnectionTests
from server.storage.connection import Check, Outcome, Wanted
from tests.grpc.failures import failing
from tests.grpc.rig import Rig, serving
from tests.loops import in_loop, until
from tests.storages_under_test import ACCOUNT, REQUEST, ROLE, Storages, access, storages

Codes = grpc.StatusCode
DRAFT = pb.TestConnectionRequest(stage=1)
OTHER = f"arn:aws:iam::{ACCOUNT}:role/other"
PASSED = Check("bucket.exists", "audit-longterm", Outcome.PASSED, "It is there.", seconds=0.25, facts=(("a", "b"),))
FAILED = Check("prefix.write", "s3://audit-longterm/events", Outcome.FAILED, "No.", "AccessDenied", "s3:PutObject", "",
               "Allow it.", "r-1")  # fmt: skip


class NoIssuer:
    issuer = ""
    audience = "aud"

    def subject(self, integration_name: str) -> str:
        return f"sub:{integration_name}"

    def token(self, integration_name: str) -> str:
        raise FailedPrecondition("no issuer is configured", reason="NO_ISSUER")


@dataclass
class Probe:
    """Reports `checks`; waits at `gate` where there is one, until it is opened or the test is stopped."""

    checks: list[Check] = field(default_factory=lambda: [PASSED])
    gate: threading.Event | None = None
    error: Exception | None = None
    asked: list[Wanted] = field(default_factory=list)
    ended: int = 0

    def run(
        self, wanted: Wanted, token: Callable[[], str], report: Callable[[Check], None], stopped: Callable[[], bool]
    ) -> None:
        self.asked.append(wanted)
        for check in self.checks:
            report(check)
        while self.gate is not None and not self.gate.wait(0.01) and not stopped():
            pass
        self.ended += 1
        if self.error is not None:
            raise self.error


@dataclass
class Behind:
    storages: Storages
    probe: Probe
    tests: ConnectionTests

    def kept(self) -> list[Any]:
        from sqlalchemy import select

        from server.state.external_storage_tables import connection_tests as table

        with self.storages.engine.connect() as connection:
            return list(connection.execute(select(table)).mappings())

    def told(self) -> list[dict[str, Any]]:
        return [event for event in self.storages.events() if event["event"] == "extaudit.storage.test"]


@pytest.fixture
def behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Behind]:
    # Without an issuer its check fails; these tests are of what goes around the checks.
    fine = Check("credentials.issuer", "issuer", Outcome.PASSED, "There.")
    monkeypatch.setattr(ConnectionTests, "_issuer", lambda *_: asyncio.sleep(0, fine))
    with storages(tmp_path) as made, ThreadPoolExecutor(connection_tests.MOST) as threads:
        probe = Probe()
        yield Behind(made, probe, ConnectionTests(made.store, NoIssuer(), probe, threads, "c", lambda: made.now_ms))


async def drafted(behind: Behind) -> Any:
    return await behind.storages.drafts.create(access(), REQUEST)


async def steps(rig: Rig, request: pb.TestConnectionRequest = DRAFT, name: str = "alice") -> list[Any]:
    async with rig.user("editor", name=name) as channel:
        return [step async for step in Stub(channel).TestConnection(request)]


@in_loop
async def test_each_check_is_told_then_the_end_which_is_kept_for_the_revisions_and_the_role(behind: Behind) -> None:
    draft = await drafted(behind)
    behind.probe.checks = [
        PASSED,
        replace(PASSED, outcome=Outcome.WARNING),
        replace(PASSED, outcome=Outcome.NOT_CHECKED),
    ]
    async with serving(drafts=behind.storages.drafts, connection_tests=behind.tests) as rig:
        issuer, first, _, _, last = await steps(rig)
        async with rig.user("editor") as channel:
            shown = (await Stub(channel).GetDraft(pb.GetDraftRequest())).draft
    assert issuer.check.name == "credentials.issuer"
    assert (first.check.name, first.check.outcome) == ("bucket.exists", check_pb.CONNECTION_CHECK_OUTCOME_PASSED)
    assert first.check.duration.ToMilliseconds() == 250
    assert [(fact.name, fact.value) for fact in first.check.facts] == [("a", "b")]
    end = last.end
    assert (end.passed, end.failed, end.warnings, end.not_checked, end.test.passed) == (2, 0, 1, 1, True)
    assert (end.test.role_arn, end.test.tester.name) == (ROLE, "alice")
    assert shown.last_test == end.test
    [row] = behind.kept()
    assert (row["storage_revision"], row["integration_revision"], row["passed"]) == (draft.revision, "i-1", True)
    [event] = behind.told()
    assert (event["outcome"], event["stage"], event["failed_checks"]) == ("passed", "draft", [])
    assert (event["user"], event["role_arn"], event["test_id"]) == ("alice", ROLE, end.test.id)


@in_loop
async def test_without_an_issuer_the_test_fails_and_says_so(behind: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    await drafted(behind)
    async with serving(connection_tests=behind.tests) as rig:
        first, *_, last = await steps(rig)
    check = first.check
    assert (check.name, check.outcome) == ("credentials.issuer", check_pb.CONNECTION_CHECK_OUTCOME_FAILED)
    assert (check.wrong_setting, last.end.test.passed) == ("issuer_url", False)


@in_loop
async def test_a_failed_check_fails_the_test_and_is_named_in_the_event(behind: Behind) -> None:
    await drafted(behind)
    behind.probe.checks = [FAILED, PASSED]
    async with serving(connection_tests=behind.tests) as rig:
        _, failed, _, last = await steps(rig)
    check = failed.check
    assert (check.aws_error_code, check.missing_action, check.remedy) == ("AccessDenied", "s3:PutObject", "Allow it.")
    assert check.aws_request_id == "r-1"
    assert not last.end.test.passed
    assert [row["passed"] for row in behind.kept()] == [False]
    assert behind.told()[0]["failed_checks"] == ["prefix.write s3://audit-longterm/events"]


@in_loop
async def test_another_role_of_the_account_is_tried_and_the_pass_counts_for_it_alone(behind: Behind) -> None:
    await drafted(behind)
    async with serving(drafts=behind.storages.drafts, connection_tests=behind.tests) as rig:
        *_, last = await steps(rig, pb.TestConnectionRequest(stage=1, role_arn=OTHER))
        async with rig.user("editor") as channel:
            shown = (await Stub(channel).GetDraft(pb.GetDraftRequest())).draft
    assert last.end.test.role_arn == behind.probe.asked[0].role_arn == OTHER
    assert not shown.HasField("last_test")
    assert behind.kept()[0]["role_arn"] == OTHER


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        (pb.TestConnectionRequest(), Codes.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (pb.TestConnectionRequest(stage=2), Codes.NOT_FOUND, "NO_EXTERNAL_STORAGE"),
        (
            pb.TestConnectionRequest(stage=1, role_arn="arn:aws:iam::1:role/x"),
            Codes.INVALID_ARGUMENT,
            "INVALID_REQUEST",
        ),
        (
            pb.TestConnectionRequest(stage=1, role_arn=OTHER.replace(ACCOUNT, "999999999999")),
            Codes.INVALID_ARGUMENT,
            "INVALID_REQUEST",
        ),
    ],
)
def test_what_can_not_be_tested_is_refused_before_anything_is_asked(
    behind: Behind, request_: pb.TestConnectionRequest, code: Codes, reason: str
) -> None:
    @in_loop
    async def run() -> None:
        await drafted(behind)
        async with serving(connection_tests=behind.tests) as rig, rig.user("editor") as channel:
            failure = await failing(Stub(channel).TestConnection(request_).read())
        assert (failure.code, failure.reason) == (code, reason)

    run()
    assert (behind.probe.asked, behind.kept(), behind.told()) == ([], [], [])


@in_loop
async def test_who_breaks_off_stops_the_checks_and_it_counts_for_nothing_but_is_told(behind: Behind) -> None:
    await drafted(behind)
    behind.probe.gate = threading.Event()
    async with serving(connection_tests=behind.tests) as rig:
        async with rig.user("editor") as channel:
            call = Stub(channel).TestConnection(DRAFT)
            await call.read()
            call.cancel()
        await until(lambda: behind.told())
    assert behind.probe.ended == 1
    assert behind.kept() == []
    assert [event["outcome"] for event in behind.told()] == ["cancelled"]


@in_loop
async def test_one_test_of_an_identity_and_four_in_all_are_under_way(behind: Behind) -> None:
    await drafted(behind)
    gate = behind.probe.gate = threading.Event()

    async def refused(rig: Rig, name: str) -> None:
        async with rig.user("editor", name=name) as channel:
            failure = await failing(Stub(channel).TestConnection(DRAFT).read())
        assert (failure.code, failure.reason) == (Codes.RESOURCE_EXHAUSTED, "OVERLOADED")

    async with serving(connection_tests=behind.tests) as rig:
        running = []
        for number in range(connection_tests.MOST):
            running.append(asyncio.create_task(steps(rig, name=f"user-{number}")))
            await until(lambda: len(behind.probe.asked) == len(running))
            await refused(rig, f"user-{number}")
        await refused(rig, "another")
        gate.set()
        await asyncio.gather(*running)
        assert len(await steps(rig, name="another")) == 3
    assert len(behind.kept()) == connection_tests.MOST + 1


@in_loop
async def test_a_test_that_takes_too_long_fails_and_says_so(behind: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_tests, "LIMIT_SECONDS", 0.05)
    await drafted(behind)
    behind.probe.gate = threading.Event()
    async with serving(connection_tests=behind.tests) as rig:
        *_, late, last = await steps(rig)
    assert (late.check.name, late.check.outcome) == ("test.time-limit", check_pb.CONNECTION_CHECK_OUTCOME_FAILED)
    assert not last.end.test.passed


@in_loop
async def test_a_fault_of_ours_is_no_pass_and_tells_nothing_of_itself(behind: Behind) -> None:
    await drafted(behind)
    behind.probe.error = RuntimeError("canary")
    async with serving(connection_tests=behind.tests) as rig, rig.user("editor") as channel:
        call = Stub(channel).TestConnection(DRAFT)
        await call.read()
        await call.read()
        failure = await failing(call.read())
    assert (failure.code, "canary" in failure.message) == (Codes.INTERNAL, False)
    assert behind.kept() == []
    assert [event["outcome"] for event in behind.told()] == ["error"]


@in_loop
async def test_a_right_that_is_lost_ends_the_test(behind: Behind) -> None:
    await drafted(behind)
    gate = behind.probe.gate = threading.Event()
    async with serving(connection_tests=behind.tests) as rig, rig.user("editor") as channel:
        call = Stub(channel).TestConnection(DRAFT)
        await call.read()
        await call.read()
        rig.look_no_more()  # a look at all streams would cut this one, which is told as another outcome
        rig.policy.current = Policy.of(())
        gate.set()
        failure = await failing(call.read())
        await until(lambda: behind.told())
    assert failure.code == Codes.PERMISSION_DENIED
    assert behind.kept() == []
    assert [event["outcome"] for event in behind.told()] == ["error"]


@in_loop
async def test_a_stop_ends_the_tests_and_waits_until_they_have_taken_back_what_they_began(behind: Behind) -> None:
    await drafted(behind)
    behind.probe.gate = threading.Event()
    async with serving(connection_tests=behind.tests) as rig, rig.user("editor") as channel:
        call = Stub(channel).TestConnection(DRAFT)
        await call.read()
        await behind.tests.close()
        assert behind.probe.ended == 1
        while not (step := await call.read()).HasField("end"):
            pass
        assert not step.end.test.passed
        assert [event["outcome"] for event in behind.told()] == ["cancelled"]


@in_loop
async def test_where_it_can_not_be_kept_it_is_no_pass(behind: Behind) -> None:
    await drafted(behind)
    gate = behind.probe.gate = threading.Event()
    async with serving(connection_tests=behind.tests) as rig, rig.user("editor") as channel:
        call = Stub(channel).TestConnection(DRAFT)
        await call.read()
        await call.read()
        behind.storages.engine.dispose()
        with behind.storages.engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE connection_tests")
        gate.set()
        failure = await failing(call.read())
    assert (failure.code, failure.reason) == (Codes.UNAVAILABLE, "STATE_UNAVAILABLE")
