"""IntegrationService over a real socket: codes, reasons, pages, and that refusals come before anything is looked up."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from extaudit.v1 import integration_service_pb2 as pb
from extaudit.v1.event_pb2 import IDENTITY_KIND_USER
from extaudit.v1.integration_pb2 import AwsOidcIntegration, Integration, WebIdentity
from extaudit.v1.integration_service_pb2_grpc import IntegrationServiceStub

from server.integrations.integrations import MAY_NOT_CHANGE_ROLE
from server.state.external_storages import ConnectionTestRow
from server.state.integrations import ClusterUse
from tests.grpc.failures import failing
from tests.grpc.memory_integrations import ISSUER
from tests.grpc.rig import Rig, serving
from tests.loops import in_loop, until

Codes = grpc.StatusCode
ROLE = "arn:aws:iam::111122223333:role/audit"
OTHER_ROLE = "arn:aws:iam::111122223333:role/other"
ROLES = """
kind: role
version: v7
metadata: {name: updater}
spec: {allow: {rules: [{resources: [integration], verbs: [update]}]}}
---
kind: role
version: v7
metadata: {name: set-up}
spec: {allow: {rules: [{resources: [integration, external_audit_storage], verbs: [create, update, list, read]}]}}
"""


def aws(name: str = "ours", role_arn: str = ROLE, revision: str = "") -> Integration:
    return Integration(name=name, revision=revision, aws_oidc=AwsOidcIntegration(role_arn=role_arn))


@dataclass
class Service:
    """The rig, and an administrator's stub."""

    rig: Rig
    admin: Any

    async def create(self, name: str = "ours", role_arn: str = ROLE) -> Integration:
        response = await self.admin.CreateIntegration(pb.CreateIntegrationRequest(integration=aws(name, role_arn)))
        created: Integration = response.integration
        return created

    def update(self, made: Integration, role_arn: str = OTHER_ROLE, **fields: Any) -> Awaitable[Any]:
        changed = aws(made.name, role_arn, made.revision)
        answer: Awaitable[Any] = self.admin.UpdateIntegration(
            pb.UpdateIntegrationRequest(integration=changed, **fields)
        )
        return answer


@asynccontextmanager
async def service(*roles: str, folder: Path | None = None) -> AsyncIterator[Service]:
    async with serving(roles=folder) as rig, rig.user(*(roles or ("editor",)), name="root") as channel:
        yield Service(rig, IntegrationServiceStub(channel))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "roles.yaml").write_text(ROLES)
    return tmp_path


@in_loop
async def test_what_is_created_tells_what_aws_must_trust_and_is_read_back_alike() -> None:
    async with service() as it:
        made = await it.create("a.b_c@d+e-F1")
        got = await it.admin.GetIntegration(pb.GetIntegrationRequest(name=made.name))
        listed = await it.admin.ListIntegrations(pb.ListIntegrationsRequest())
        [event] = it.rig.integrations.events
    assert made == got.integration == listed.integrations[0]
    assert (made.aws_oidc.role_arn, bool(made.revision)) == (ROLE, True)
    assert made.create_time == made.update_time
    assert (made.creator.kind, made.creator.name) == (IDENTITY_KIND_USER, "root")
    trusted = WebIdentity(issuer=ISSUER, audience="extaudit.aws", subject="extaudit:integration:a.b_c@d+e-F1")
    assert made.web_identity == trusted
    assert (event["event"], event["name"], event["user"]) == ("integration.create", made.name, "root")
    assert (event["sub_kind"], event["aws_oidc"]) == ("aws-oidc", {"role_arn": ROLE})


@in_loop
async def test_a_name_is_given_once() -> None:
    async with service() as it:
        made = await it.create()
        failure = await failing(it.create(role_arn=OTHER_ROLE))
        got = await it.admin.GetIntegration(pb.GetIntegrationRequest(name="ours"))
        assert len(it.rig.integrations.events) == 1
    assert (failure.code, failure.reason) == (Codes.ALREADY_EXISTS, "ALREADY_EXISTS")
    assert failure.metadata == {"resource_type": "integration", "resource_name": "ours"}
    assert got.integration == made


@in_loop
async def test_pages_are_by_name_and_tell_how_many_there_are() -> None:
    async with service() as it:
        names = [f"n{number}" for number in (3, 1, 4, 0, 2)]
        for name in names:
            await it.create(name)
        pages, token = [], ""
        while len(pages) < 9:
            page = await it.admin.ListIntegrations(pb.ListIntegrationsRequest(page_size=2, page_token=token))
            pages.append([each.name for each in page.integrations])
            assert page.total_size == 5
            if not (token := page.next_page_token):
                break
    assert pages == [["n0", "n1"], ["n2", "n3"], ["n4"]]


@in_loop
async def test_a_change_is_made_from_the_revision_that_was_seen() -> None:
    async with service() as it:
        made = await it.create()
        changed = (await it.update(made)).integration
        stale = await failing(it.update(made, ROLE))
        same = (await it.update(changed, OTHER_ROLE)).integration
        events = [event["event"] for event in it.rig.integrations.events]
        told = it.rig.integrations.events[1]
    assert (changed.aws_oidc.role_arn, changed.create_time) == (OTHER_ROLE, made.create_time)
    assert changed.revision != made.revision
    assert (stale.code, stale.reason) == (Codes.ABORTED, "STALE_REVISION")
    assert same == changed
    assert events == ["integration.create", "integration.update"]
    assert (told["aws_oidc"], told["previous_role_arn"]) == ({"role_arn": OTHER_ROLE}, ROLE)
    assert (told["forced"], told["reason"], told["storage"]) == (False, "", "")


@in_loop
async def test_what_is_deleted_is_gone_and_a_stale_revision_deletes_nothing() -> None:
    async with service() as it:
        made = await it.create()
        stale = await failing(it.admin.DeleteIntegration(pb.DeleteIntegrationRequest(name="ours", revision="old")))
        await it.admin.DeleteIntegration(pb.DeleteIntegrationRequest(name="ours", revision=made.revision))
        for call in (
            it.admin.DeleteIntegration(pb.DeleteIntegrationRequest(name="ours")),
            it.admin.GetIntegration(pb.GetIntegrationRequest(name="ours")),
            it.update(made),
        ):
            failure = await failing(call)
            assert (failure.code, failure.reason) == (Codes.NOT_FOUND, "NOT_FOUND")
        deleted = it.rig.integrations.events[-1]
    assert (stale.code, stale.reason) == (Codes.ABORTED, "STALE_REVISION")
    assert (deleted["event"], deleted["name"]) == ("integration.delete", "ours")
    assert deleted["aws_oidc"] == {"role_arn": ROLE}


Use = Callable[[Rig], None]


def _use(**fields: Any) -> Use:
    def use(rig: Rig) -> None:
        for name, value in fields.items():
            setattr(rig.integrations, name, value)

    return use


STORAGE = frozenset({"aws-1"})
USES: dict[str, tuple[Use, str]] = {
    "draft": (_use(draft=True), "draft"),
    "cluster": (_use(cluster=ClusterUse("aws-1", "111122223333", None)), "cluster"),
    "deliveries": (_use(storages=STORAGE, undelivered=STORAGE), "deliveries"),
    "uploads": (_use(storages=STORAGE, uploading=STORAGE), "uploads"),
    "several": (_use(draft=True, storages=STORAGE, uploading=STORAGE), "draft,uploads"),
}


@pytest.mark.parametrize("case", USES)
@in_loop
async def test_an_integration_in_use_is_not_deleted(case: str) -> None:
    use, used_by = USES[case]
    async with service() as it:
        await it.create()
        use(it.rig)
        failure = await failing(it.admin.DeleteIntegration(pb.DeleteIntegrationRequest(name="ours")))
        assert "ours" in it.rig.integrations.rows
        assert len(it.rig.integrations.events) == 1
    assert (failure.code, failure.reason) == (Codes.FAILED_PRECONDITION, "INTEGRATION_IN_USE")
    assert failure.metadata == {"used_by": used_by}


def passed(tested_ms: int, *, well: bool = True) -> ConnectionTestRow:
    return ConnectionTestRow("t", "cluster", "r", "ours", "r", OTHER_ROLE, well, tested_ms, "{}")


@pytest.mark.parametrize(
    ("minutes", "well", "reason"),
    [(None, True, "TEST_NOT_PASSED"), (59, True, ""), (59, False, "TEST_NOT_PASSED"), (61, True, "TEST_NOT_PASSED")],
)  # fmt: skip
@in_loop
async def test_the_role_of_the_storage_in_force_changes_after_a_passed_test_of_the_last_hour(
    minutes: int | None, well: bool, reason: str
) -> None:
    async with service() as it:
        made = await it.create()
        test = passed(it.rig.clock.now_ms() - minutes * 60_000, well=well) if minutes is not None else None
        it.rig.integrations.cluster = ClusterUse("aws-1", "111122223333", test)
        if reason:
            failure = await failing(it.update(made))
            assert (failure.code, failure.reason) == (Codes.FAILED_PRECONDITION, reason)
            assert not it.rig.integrations.changes
        else:
            await it.update(made)
            [change] = it.rig.integrations.changes
            assert test is not None
            assert (json.loads(change.test)["id"], change.forced) == (test.id, False)


@in_loop
async def test_a_forced_change_of_the_role_tells_the_reason() -> None:
    async with service() as it:
        made = await it.create()
        it.rig.integrations.cluster = ClusterUse("aws-1", "111122223333", None)
        without = await failing(it.update(made, force=True))
        await it.update(made, force=True, reason="the old role was deleted")
        [change], event = it.rig.integrations.changes, it.rig.integrations.events[-1]
    assert (without.code, without.violations) == (Codes.INVALID_ARGUMENT, ["reason"])
    assert (change.forced, change.reason, change.test) == (True, "the old role was deleted", None)
    assert (event["forced"], event["reason"], event["storage"]) == (True, "the old role was deleted", "aws-1")


@pytest.mark.parametrize(
    "role", ["arn:aws:iam::444455556666:role/audit", "arn:aws-us-gov:iam::111122223333:role/audit"]
)
@pytest.mark.parametrize("case", ["cluster", "deliveries", "uploads"])
@in_loop
async def test_a_role_of_another_account_is_refused_while_the_old_one_is_needed_even_by_force(
    case: str, role: str
) -> None:
    use, used_by = USES[case]
    async with service() as it:
        made = await it.create()
        use(it.rig)
        failure = await failing(it.update(made, role, force=True, reason="because"))
        assert not it.rig.integrations.changes
    assert (failure.code, failure.reason) == (Codes.FAILED_PRECONDITION, "INTEGRATION_IN_USE")
    assert failure.metadata == {"used_by": used_by}


@in_loop
async def test_a_role_of_another_account_is_taken_where_nothing_needs_the_old_one() -> None:
    async with service() as it:
        made = await it.create()
        changed = (await it.update(made, "arn:aws-cn:iam::444455556666:role/a/b/c")).integration
    assert changed.aws_oidc.role_arn == "arn:aws-cn:iam::444455556666:role/a/b/c"


@in_loop
async def test_who_may_not_change_roles_can_not_tell_an_integration_from_one_that_is_not_there(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with service(folder=folder) as admin:
        made = await admin.create()
        async with admin.rig.user("updater") as channel:
            stub = IntegrationServiceStub(channel)
            failures = []
            for name in ("ours", "nobody"):
                for revision in (made.revision, "stale"):
                    request = pb.UpdateIntegrationRequest(integration=aws(name, OTHER_ROLE, revision))
                    failures.append(await failing(stub.UpdateIntegration(request)))
            same = await stub.UpdateIntegration(pb.UpdateIntegrationRequest(integration=aws(revision=made.revision)))
        await until(lambda: len(admin.rig.records.calls) == 6)  # a refusal is noted once its answer has left
        hidden = [record.hidden for record in admin.rig.records.calls if record.hidden]
        assert len(admin.rig.integrations.events) == 1
    assert failures == failures[:1] * 4
    assert (failures[0].code, failures[0].reason) == (Codes.PERMISSION_DENIED, "ACCESS_DENIED")
    assert failures[0].metadata == {"kind": "external_audit_storage", "verb": "update"}
    assert same.integration == made
    assert hidden == [MAY_NOT_CHANGE_ROLE] * 4, "who is refused may read of it"
    logged = [vars(record)["fields"]["why"] for record in caplog.records if record.message == "call refused"]
    assert logged == ["the role would change"] * 2 + ["there is no such integration"] * 2


@in_loop
async def test_who_may_not_force_is_refused_before_anything_is_looked_up(folder: Path) -> None:
    async with service("set-up", folder=folder) as it:
        request = pb.UpdateIntegrationRequest(integration=aws(), force=True, reason="because")
        failure = await failing(it.admin.UpdateIntegration(request))
        assert not it.rig.touched
        made = await it.create()
        assert (await it.update(made)).integration.aws_oidc.role_arn == OTHER_ROLE
    assert (failure.code, failure.reason) == (Codes.PERMISSION_DENIED, "ACCESS_DENIED")
    assert failure.metadata == {"kind": "external_audit_storage", "verb": "delete"}


NAMES = ["", ".", "..", "a b", "a/b", "ä", "a" * 129, "a\n", "a\0", "٣", "a:b", "a=b", "a,b", "a*"]
ROLE_ARNS = ["", "arn:aws:iam::111122223333:user/audit", "arn:aws:iam::1111:role/audit", ROLE + "\n"]
GET, DELETE = "GetIntegration", "DeleteIntegration"
WRONG: dict[str, tuple[str, Any, list[str]]] = {
    **{f"name {name!r}": (GET, pb.GetIntegrationRequest(name=name), ["name"]) for name in NAMES},
    **{
        f"new name {name!r}": ("CreateIntegration", pb.CreateIntegrationRequest(integration=aws(name)),
                               ["integration.name"])
        for name in NAMES
    },
    **{
        f"role {arn!r}": ("CreateIntegration", pb.CreateIntegrationRequest(integration=aws(role_arn=arn)),
                          ["integration.aws_oidc.role_arn"])
        for arn in ROLE_ARNS
    },
    "nothing": ("CreateIntegration", pb.CreateIntegrationRequest(), ["integration.name", "integration.kind"]),
    "given": (
        "CreateIntegration",
        pb.CreateIntegrationRequest(
            integration=Integration(name="a", aws_oidc=AwsOidcIntegration(role_arn=ROLE), revision="r",
                                    create_time={"seconds": 1}, update_time={"seconds": 1},
                                    creator={"name": "x"}, web_identity={})
        ),
        ["integration.revision", "integration.create_time", "integration.update_time", "integration.creator",
         "integration.web_identity"],
    ),
    "no revision": ("UpdateIntegration", pb.UpdateIntegrationRequest(integration=aws()), ["integration.revision"]),
    "all of an update": (
        "UpdateIntegration",
        pb.UpdateIntegrationRequest(integration=aws("", "x", "r" * 65), force=True, reason=""),
        ["integration.name", "integration.aws_oidc.role_arn", "integration.revision", "reason"],
    ),
    "long reason": (
        "UpdateIntegration",
        pb.UpdateIntegrationRequest(integration=aws(revision="r"), reason="r" * 1025),
        ["reason"],
    ),
    "NUL in the reason": (
        "UpdateIntegration",
        pb.UpdateIntegrationRequest(integration=aws(revision="r"), reason="a\0b"),
        ["reason"],
    ),
    "long revision": (DELETE, pb.DeleteIntegrationRequest(name="..", revision="r" * 65), ["name", "revision"]),
    "negative page": ("ListIntegrations", pb.ListIntegrationsRequest(page_size=-1), ["page_size"]),
    "token of another list": ("ListIntegrations", pb.ListIntegrationsRequest(page_token="cm9sZXM6YQ=="),
                              ["page_token"]),
}  # fmt: skip


@in_loop
async def test_a_wrong_request_is_refused_with_every_wrong_field_and_nothing_is_looked_up() -> None:
    async with service() as it:
        for case, (method, request, fields) in WRONG.items():
            failure = await failing(getattr(it.admin, method)(request))
            assert (failure.code, failure.violations) == (Codes.INVALID_ARGUMENT, fields), case
        assert not it.rig.touched


@in_loop
async def test_an_update_takes_what_a_read_gave() -> None:
    async with service() as it:
        made = await it.create()
        made.aws_oidc.role_arn = OTHER_ROLE
        changed = await it.admin.UpdateIntegration(pb.UpdateIntegrationRequest(integration=made))
    assert changed.integration.aws_oidc.role_arn == OTHER_ROLE
