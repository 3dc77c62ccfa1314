"""The client for asyncio against a real server: emitted, watched, exported and recorded as by the other one."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from extaudit_client import AsyncClient, AsyncEmitter, Connection, NotFound, Query, SessionQuery, StaleRevision

from tests.loops import in_loop
from tests.running_server import running_server
from tests.shape.repository import ROOT

SAMPLE = ROOT / "clients/cli/extaudit_cli/sample-recordings/2b164095-6f02-424f-9f4e-2166ede18709.tar"
SAMPLE_BYTES = SAMPLE.read_bytes()


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with running_server(tmp_path_factory.mktemp("async")) as server:
        yield server.connection()


@in_loop
async def test_events_are_emitted_watched_found_and_exported(connection: Connection, tmp_path: Path) -> None:
    query = Query(types=("awaited",), order="oldest", page_size=7)
    async with AsyncClient(connection) as client, AsyncEmitter(connection, tmp_path / "spool") as emitter:
        uids = list(await asyncio.gather(*(emitter.emit({"event": "awaited", "n": n}) for n in range(30))))
        await emitter.flush(60)
        one = await client.emit(b'{"event":"awaited","n":30}')
        uids.append(one.uid)
        async for answer in client.emit_stream(b'{"event":"awaited","n":%d}' % n for n in range(31, 40)):
            uids += answer.assigned_uids.values()
        found = [row async for row in client.search_all(query)]
        assert {row.uid for row in found} == set(uids)
        assert len(found) == len(uids) == 40
        assert json.loads((await client.get(one.uid))[1])["n"] == 30
        exported = [uid async for events in client.export(query) for uid in events.uids]
        assert sorted(exported) == sorted(uids)
        watched: list[str] = []
        async with aclosing(client.watch(query, after={})) as answers:  # type: ignore[type-var]
            async for answer in answers:
                watched += [row.uid for row in answer.rows]
                if len(watched) == 40:
                    break
        assert sorted(watched) == sorted(uids)


@in_loop
async def test_a_recording_goes_up_and_comes_back(connection: Connection, tmp_path: Path) -> None:
    data = SAMPLE_BYTES
    async with AsyncClient(connection) as client:
        recordings = client.recordings
        done = await recordings.upload(io.BytesIO(data), SAMPLE.stem)
        assert done.sha256 == hashlib.sha256(data).hexdigest()
        recording, state = await recordings.complete(
            done.upload_id, size=done.bytes, custody_digest=done.custody_digest
        )
        assert (recording.bytes, state) == (len(data), "completed")
        await recordings.download(SAMPLE.stem, tmp_path / "back.tar")
        assert await asyncio.to_thread((tmp_path / "back.tar").read_bytes) == data
        assert b"".join([part async for part in recordings.read_range(SAMPLE.stem, 5, 100)]) == data[5:105]
        items = [item async for item in recordings.events(SAMPLE.stem)]
        assert len(items) > 3
        listed = [session.session_id async for session in recordings.list(SessionQuery(session_id=SAMPLE.stem))]
        assert listed == [SAMPLE.stem]


@in_loop
async def test_status_roles_rights_and_locks_are_told(connection: Connection) -> None:
    async with AsyncClient(connection) as client:
        assert (await client.status()).version
        assert "auditor" in [role.name async for role in client.roles()]
        assert (await client.check_access("event", "list")).decision
        lock = await client.create_lock("user", "mallory", "test")
        assert lock.id in [each.id async for each in client.locks()]
        await client.delete_lock(lock.id)
        assert [each async for each in client.locks()] == []


@in_loop
async def test_integrations_are_created_read_changed_and_deleted(connection: Connection) -> None:
    async with AsyncClient(connection) as client:
        made = await client.integrations.create("ours", "arn:aws:iam::111122223333:role/old")
        assert await client.integrations.get("ours") == made
        changed = await client.integrations.update("ours", "arn:aws:iam::111122223333:role/new", made.revision)
        assert [each async for each in client.integrations.list()] == [changed]
        with pytest.raises(StaleRevision):
            await client.integrations.delete("ours", made.revision)
        await client.integrations.delete("ours", changed.revision)
        with pytest.raises(NotFound):
            await client.integrations.get("ours")
    assert (made.creator.name, made.web_identity.subject) == ("admin", "extaudit:integration:ours")
