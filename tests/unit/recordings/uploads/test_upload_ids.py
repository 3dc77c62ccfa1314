"""Session ids and upload ids: one spelling each, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rbac.identities import Identity, IdentityKind
from server.errors import FailedPrecondition, InvalidRequest, NotFound
from server.files import DiskFiles
from server.recordings.recording import UploadState
from server.recordings.uploads.upload_ids import UploadIds
from server.state.database import open_database
from tests.e2e.test_denied_calls import CountingFiles, counted_statements
from tests.uploads_under_test import ADMIN, NODE, OTHER_NODE, OTHER_SESSION, SESSION, UploadsUnderTest, access

BAD_SESSION_IDS = [
    "",
    "5c4e9c6e",
    SESSION.upper(),
    SESSION.replace("c", "C", 1),
    "{" + SESSION + "}",
    "urn:uuid:" + SESSION,
    SESSION.replace("-", ""),
    SESSION + "\n",
    " " + SESSION,
    SESSION + "\0",
    SESSION[:-1],
    SESSION + "0",
    SESSION[:-1] + "g",
    SESSION[:-1] + "\u0661",
    SESSION[:-1] + "\uff11",
    SESSION.replace("-", "\u2010"),
    "../" + SESSION[3:],
    "5c4e9c6e-2f6b-4d0b-9f5/-0d4f1a3c7b1",
    "../../../../../../../../../etc/passwd",
]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[UploadsUnderTest]:
    engine = open_database(tmp_path / "state.db")
    yield UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    engine.dispose()


@pytest.mark.parametrize("session_id", BAD_SESSION_IDS)
def test_a_session_id_that_is_not_canonical_is_refused_and_nothing_is_made(
    service: UploadsUnderTest, session_id: str
) -> None:
    before = sorted(service.folder.rglob("*"))
    with pytest.raises(InvalidRequest) as refused:
        asyncio.run(service.uploads.start(access(), session_id, ""))
    assert [violation.field for violation in refused.value.violations] == ["start.session_id"]
    assert sorted(service.folder.rglob("*")) == before
    assert service.store.open() == []


STRANGERS = {
    "another name": OTHER_NODE,
    "another kind": replace(NODE, kind=IdentityKind.USER),
    "another trust anchor": replace(NODE, trust_anchor="c" * 64),
    "a token's issuer": replace(NODE, trust_anchor="https://id.test", certificate_serial="", token_id="t"),
    "an administrator": ADMIN,
}
Call = Callable[[UploadsUnderTest, str, Identity], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "resume": lambda service, upload_id, who: service.uploads.start(access(who), SESSION, upload_id),
    "get": lambda service, upload_id, who: service.uploads.get(access(who), upload_id),
    "complete": lambda service, upload_id, who: service.complete(upload_id, who=who),
    "complete as partial": lambda service, upload_id, who: service.complete(upload_id, who=who, partial=True),
    "complete with rights": lambda service, upload_id, who: service.complete(upload_id, who=who, may_update=True),
    "abort": lambda service, upload_id, who: service.uploads.abort(access(who), upload_id),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("stranger", STRANGERS)
def test_another_identity_s_upload_is_not_found(service: UploadsUnderTest, call: str, stranger: str) -> None:
    upload_id = asyncio.run(service.send(b"data"))
    refuse(service, CALLS[call], upload_id, STRANGERS[stranger])
    assert asyncio.run(service.uploads.get(access(), upload_id)).state is UploadState.OPEN


def forgeries(upload_id: str) -> list[str]:
    key, mac = upload_id[:32], upload_id[32:]
    never_given = UploadIds(b"t" * 32).make(NODE)
    return [
        "x",
        key,
        mac + key,
        key + "0" * 32,
        never_given[:32] + mac,
        key + never_given[32:],
        never_given,
        upload_id.upper(),
        upload_id + "\n",
        upload_id + "0",
        upload_id + "\u0663",
        upload_id[:-1],
        upload_id[:-1] + "\u0663",
        "../../../" + upload_id[9:],
    ]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("number", range(14))
def test_a_forged_upload_id_is_not_found(service: UploadsUnderTest, call: str, number: int) -> None:
    upload_id = asyncio.run(service.send(b"data"))
    refuse(service, CALLS[call], forgeries(upload_id)[number], NODE)


def refuse(service: UploadsUnderTest, call: Call, upload_id: str, who: Identity) -> None:
    """The answer is the same as for an upload that never was, and neither state nor storage is asked."""
    files = CountingFiles()
    service.storage._files = files
    with counted_statements() as statements, pytest.raises(NotFound) as refused:
        asyncio.run(call(service, upload_id, who))
    service.storage._files = DiskFiles()
    with pytest.raises(NotFound) as never_was:
        asyncio.run(service.uploads.get(access(), UploadIds(b"s" * 32).make(NODE)))
    assert (refused.value.message, refused.value.metadata) == (never_was.value.message, never_was.value.metadata)
    assert (statements, files.operations) == ([], [])


def test_renewing_certificate_and_roles_keeps_an_upload(service: UploadsUnderTest) -> None:
    upload_id = asyncio.run(service.send(b"half"))
    renewed = replace(NODE, certificate_serial="99", roles=frozenset({"Node", "Db"}))
    asyncio.run(service.send(b"whole", who=renewed, upload_id=upload_id))
    recording, _ = asyncio.run(service.complete(upload_id, who=renewed))
    assert recording.bytes == 5


def test_with_update_another_s_upload_is_completed_as_partial_and_nothing_else(service: UploadsUnderTest) -> None:
    async def live() -> None:
        upload_id = await service.send(b"half")
        recording, state = await service.complete(upload_id, who=ADMIN, partial=True, may_update=True)
        assert (state, recording.partial, recording.uploader.key) == (UploadState.COMPLETED, True, NODE.key)
        [event] = service.told()
        assert (event["partial"], event["uploader"]["name"], event["ended_by"]["name"]) == (True, "node-1", "admin")
        assert (await service.uploads.get(access(), upload_id)).partial

    asyncio.run(live())


@pytest.mark.parametrize("number", range(14))
def test_update_helps_no_forged_id(service: UploadsUnderTest, number: int) -> None:
    upload_id = asyncio.run(service.send(b"data"))
    with pytest.raises(NotFound):
        forged = forgeries(upload_id)[number]
        asyncio.run(service.complete(forged, who=ADMIN, partial=True, may_update=True))
    assert asyncio.run(service.uploads.get(access(), upload_id)).state is UploadState.OPEN


def test_another_s_upload_is_not_completed_while_its_owner_writes(service: UploadsUnderTest) -> None:
    async def live() -> None:
        stream = await service.uploads.start(access(), SESSION, "")
        await stream.write(0, b"half")
        upload_id = stream.upload.upload_id
        with pytest.raises(FailedPrecondition) as refused:
            await service.complete(upload_id, who=ADMIN, partial=True, may_update=True)
        assert refused.value.reason == "UPLOAD_TAKEN_UP"
        await stream.write(4, b"!")
        await stream.close()
        recording, _ = await service.complete(upload_id)
        assert (recording.bytes, recording.partial) == (5, False)

    asyncio.run(live())


def test_the_owner_s_own_completion_is_never_partial(service: UploadsUnderTest) -> None:
    upload_id = asyncio.run(service.send(b"all"))
    recording, _ = asyncio.run(service.complete(upload_id, partial=True, may_update=True))
    assert not recording.partial


def test_an_upload_goes_on_in_its_own_session_alone(service: UploadsUnderTest) -> None:
    upload_id = asyncio.run(service.send(b"data"))
    with pytest.raises(InvalidRequest) as refused:
        asyncio.run(service.uploads.start(access(), OTHER_SESSION, upload_id))
    assert [violation.field for violation in refused.value.violations] == ["start.session_id"]


def test_owners_whose_parts_run_together_are_told_apart() -> None:
    ids = UploadIds(b"s" * 32)
    one = replace(NODE, trust_anchor="a", name="bcomponentc")
    other = replace(NODE, trust_anchor="acomponentb", name="c")
    assert not ids.is_of(ids.make(one), other)


def test_upload_ids_of_one_owner_differ() -> None:
    ids = UploadIds(b"s" * 32)
    assert len({ids.make(NODE) for _ in range(100)}) == 100
