"""Who sees which session and opens which recording, with the `access` preset, over mTLS, from tail and batches."""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from extaudit.recording.v1 import recorded_event_pb2 as pb
from extaudit_client import Client, Connection, Query, SessionQuery, TextQuery
from extaudit_client.errors import ExtauditError

from server.certificates.issuing import issue_component, issue_user
from server.config import JournalSection
from server.lifecycle import App
from server.recordings.format.writer import RecordingWriter
from server.recordings.opening import NOT_GIVEN
from tests.polling import until
from tests.running_app import running_app

NONE_FOR_YOU = ("NOT_FOUND", "there is no such recording, or it isn't for you to read")


class Callers:
    """The running service, and those who call it."""

    def __init__(self, app: App, folder: Path) -> None:
        self._app = app
        self._folder = folder
        ready = app.ready
        self.clients = [Client(Connection(ready["grpc"], *(Path(ready[name]) for name in ("ca", "cert", "key"))))]
        self.admin = self.clients[0]
        self.node = self._call("node-1", "Node", issue_component)
        self.other_node = self._call("node-2", "Node", issue_component)
        self.proxy = self._call("proxy-1", "Proxy", issue_component)
        self.alice = self._call("alice", "access", issue_user)
        self.mallory = self._call("mallory", "access,importer", issue_user)

    def _call(self, name: str, roles: str, issue: Callable[..., object]) -> Client:
        issued = issue(self._app.config.data_dir, name, roles.split(","), 1, self._folder / name)
        paths = (Path(getattr(issued, part)) for part in ("ca", "certificate", "key"))
        self.clients.append(Client(Connection(self._app.ready["grpc"], *paths)))
        return self.clients[-1]


@pytest.fixture(params=[4, 20_000], ids=["batches", "tail"])
def callers(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callers]:
    with running_app(tmp_path / "data", journal=JournalSection(cut_events=request.param)) as app:
        callers = Callers(app, tmp_path)
        yield callers
        for client in callers.clients:
            client.close()


def end(client: Client, session_id: str, *participants: str) -> None:
    """Say that a session ended."""
    members = {"event": "session.end", "sid": session_id, "user": participants[0], "participants": participants}
    client.emit(json.dumps(members).encode())


def record(client: Client, session_id: str, data: bytes) -> str:
    """Upload a recording."""
    upload = client.recordings.upload(io.BytesIO(data), session_id)
    client.recordings.complete(upload.upload_id)
    return upload.upload_id


def listed(client: Client) -> list[str]:
    return [session.session_id for session in client.recordings.list(SessionQuery())]


def opened(client: Client, session_id: str, upload_id: str = "") -> bytes | None:
    """The recording's bytes; None if there is none, or it isn't for the caller."""
    try:
        return b"".join(client.recordings.read(session_id, upload_id))
    except ExtauditError as error:
        refused = error
    assert (refused.code, refused.message) == NONE_FOR_YOU
    return None


def test_a_participant_sees_a_session_by_the_word_of_its_uploader_and_a_forger_doesnt(callers: Callers) -> None:
    session_id = str(uuid.uuid4())
    record(callers.node, session_id, b"secret")
    end(callers.mallory, session_id, "mallory")
    end(callers.other_node, session_id, "mallory")
    assert (listed(callers.alice), opened(callers.alice, session_id)) == ([], None)
    end(callers.node, session_id, "alice")
    assert (listed(callers.alice), opened(callers.alice, session_id)) == ([session_id], b"secret")
    assert (listed(callers.mallory), opened(callers.mallory, session_id)) == ([], None)
    end(callers.proxy, session_id, "bob")
    assert (listed(callers.alice), opened(callers.alice, session_id)) == ([], None)
    assert (listed(callers.admin), opened(callers.admin, session_id)) == ([session_id], b"secret")


def test_a_false_recording_that_came_first_opens_no_true_one(callers: Callers) -> None:
    session_id = str(uuid.uuid4())
    false = record(callers.mallory, session_id, b"false")
    true = record(callers.node, session_id, b"true")
    end(callers.mallory, session_id, "mallory")
    end(callers.node, session_id, "alice")
    assert [opened(callers.mallory, session_id, upload_id) for upload_id in (false, true)] == [b"false", None]
    assert [opened(callers.alice, session_id, upload_id) for upload_id in (false, true)] == [None, b"true"]


def test_text_is_found_in_those_recordings_alone_that_the_caller_may_open(callers: Callers) -> None:
    seen, hidden = str(uuid.uuid4()), str(uuid.uuid4())
    for session_id, participant in ((seen, "alice"), (hidden, "bob")):
        record(callers.node, session_id, printed("the word\r\n"))
        end(callers.node, session_id, participant)
    record(callers.mallory, hidden, printed("the word, falsely\r\n"))
    end(callers.mallory, hidden, "mallory")
    until(lambda: len(found(callers.admin)) == 3)
    assert found(callers.admin) == [(hidden, "the word, falsely"), (hidden, "the word"), (seen, "the word")]
    assert found(callers.alice) == [(seen, "the word")]
    assert found(callers.mallory) == [(hidden, "the word, falsely")]
    with pytest.raises(ExtauditError) as refused:
        found(callers.node)
    assert refused.value.code == "PERMISSION_DENIED"


def test_what_the_index_of_text_misses_names_no_session_to_those_who_see_some_alone(callers: Callers) -> None:
    session_id = str(uuid.uuid4())
    record(callers.node, session_id, b"no recording at all")
    until(lambda: any(session_id in each for each in callers.admin.recordings.search_page(TextQuery("word")).missing))
    page = callers.alice.recordings.search_page(TextQuery("word"))
    assert not page.complete
    assert all(session_id not in each for each in page.missing)


def found(client: Client) -> list[tuple[str, str]]:
    pages = client.recordings.search_pages(TextQuery("the word", page_size=1))
    return [(hit.session_id, hit.line) for page in pages for hit in page.hits]


def printed(text: str) -> bytes:
    writer, message = RecordingWriter(), pb.SessionPrint(data=text.encode())
    message.metadata.type = "print"
    message.metadata.time.FromSeconds(1_790_000_000)
    return writer.add(message) + writer.finish()


def test_the_audit_event_of_a_refusal_says_as_little_as_the_answer(callers: Callers) -> None:
    ended, lasting = str(uuid.uuid4()), str(uuid.uuid4())
    for session_id in (ended, lasting):
        record(callers.node, session_id, b"secret")
    end(callers.node, ended, "bob")
    for session_id in (ended, lasting, str(uuid.uuid4())):
        assert opened(callers.alice, session_id) is None

    def reasons() -> list[str]:
        rows = callers.alice.search_all(Query(types=("extaudit.access.denied",), users=("alice",)))
        return [json.loads(row.json or b"{}")["hidden"] for row in rows]

    until(reasons)
    assert set(reasons()) == {NOT_GIVEN}


def test_a_list_made_anew_is_the_same(callers: Callers) -> None:
    ids = [str(uuid.uuid4()) for _ in range(5)]
    for session_id in ids:
        end(callers.proxy, session_id, "alice")
    before = list(callers.admin.recordings.list(SessionQuery()))
    assert list(callers.admin.recordings.reindex())[-1].done
    assert list(callers.admin.recordings.list(SessionQuery())) == before
    assert sorted(listed(callers.alice)) == sorted(ids)


def test_a_list_made_anew_has_the_recordings_that_the_state_had_lost(callers: Callers, tmp_path: Path) -> None:
    session_id = str(uuid.uuid4())
    record(callers.node, session_id, b"kept")
    end(callers.node, session_id, "alice")
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "state.db", timeout=120)) as state, state:
        for table in ("recordings", "uploads", "sessions"):
            state.execute(f"DELETE FROM {table}")
    assert opened(callers.alice, session_id) is None
    assert list(callers.admin.recordings.reindex())[-1].done
    assert (listed(callers.alice), opened(callers.alice, session_id)) == ([session_id], b"kept")
