"""Text in recordings, found through a real server: who finds what, what is missing, and that it comes back."""

from __future__ import annotations

import base64
import io
import json
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import extaudit_cli
import pytest
from extaudit.recording.v1 import recorded_event_pb2 as pb
from extaudit_client import Client, ExtauditError, HitPage, TextQuery

from server.recordings.format.writer import RecordingWriter
from tests.polling import until
from tests.running_server import RunningServer, extaudit, running_server

SAMPLES = Path(extaudit_cli.__file__).parent / "sample-recordings"
SHELL, DATABASE = "d5b6f0c2-3c1d-4f0e-9a57-51a0c7e3b8f4", "2b164095-6f02-424f-9f4e-2166ede18709"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path) as running:
        yield running


def keep(client: Client, session: str, data: bytes) -> str:
    done = client.recordings.upload(io.BytesIO(data), session)
    client.recordings.complete(done.upload_id)
    return done.upload_id


def sample(session: str) -> bytes:
    return (SAMPLES / f"{session}.tar").read_bytes()


def printed(*texts: str) -> bytes:
    writer, data = RecordingWriter(), b""
    for at, text in enumerate(texts):
        message = pb.SessionPrint(data=text.encode(), delay_milliseconds=at * 1000)
        message.metadata.type = "print"
        message.metadata.time.FromSeconds(1_790_000_000 + at)
        data += writer.add(message)
    return data + writer.finish()


def search(client: Client, text: str) -> HitPage:
    """The first page, once everything is indexed."""
    until(
        lambda: (
            not any(
                "wait" in each or "anew" in each for each in client.recordings.search_page(TextQuery("---")).missing
            )
        )
    )
    return client.recordings.search_page(TextQuery(text))


def lines(page: HitPage) -> list[tuple[str, int, str]]:
    return [(hit.session_id, hit.offset_ms, hit.line) for hit in page.hits]


def test_output_commands_and_queries_are_found_with_session_time_and_line(server: RunningServer) -> None:
    with server.client() as client:
        for session in (SHELL, DATABASE):
            keep(client, session, sample(session))
        assert lines(search(client, "HOIST.LOG.1")) == [
            (SHELL, 19_170, "-rw-r----- 1 crane crane  9120 Nov  1 08:41 hoist.log.1.gz")
        ]
        assert {hit.session_id for hit in search(client, "select ").hits} >= {DATABASE}
        (hit, *_) = search(client, "hoist.log").hits
        assert hit.user != ""
        assert search(client, "nothing like this").hits == ()


def test_it_is_indexed_after_a_kill_and_where_the_index_is_lost_or_damaged(tmp_path: Path) -> None:
    session = str(uuid.uuid4())
    with RunningServer(tmp_path).until_killed() as first, first.client() as client:
        keep(client, session, printed("$ first command\r\n"))
    path = tmp_path / "data" / "recorded-text.sqlite"
    for damage in (lambda: None, path.unlink, lambda: path.write_bytes(b"x" * 5000)):
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        damage()
        with running_server(tmp_path) as again, again.client() as client:
            assert lines(search(client, "first command")) == [(session, 0, "$ first command")]


def test_reindexing_makes_it_anew(server: RunningServer) -> None:
    session = str(uuid.uuid4())
    with server.client() as client:
        keep(client, session, printed("$ the command\r\n"))
        search(client, "the command")
        with sqlite3.connect(server.data_dir / "recorded-text.sqlite", timeout=120) as connection:
            connection.execute("DELETE FROM lines")
        connection.close()
        assert search(client, "the command").hits == ()
        list(client.recordings.reindex())
        assert len(search(client, "the command").hits) == 1


def test_what_can_not_be_read_is_told_and_the_rest_is_found(server: RunningServer) -> None:
    session, other = str(uuid.uuid4()), str(uuid.uuid4())
    with server.client() as client:
        keep(client, session, printed("$ before\r\n") + b"\x07garbage" * 20 + printed("$ behind\r\n"))
        keep(client, other, printed("$ sound before\r\n"))
        page = search(client, "before")
        assert {hit.session_id for hit in page.hits} == {session, other}
        assert not page.complete
        assert any(session in each for each in page.missing)


def test_pages_go_on_where_the_last_one_ended(server: RunningServer) -> None:
    with server.client() as client:
        for _ in range(3):
            keep(client, str(uuid.uuid4()), printed(*(f"line {at} here\r\n" for at in range(5))))
        whole = search(client, "here").hits
        assert len(whole) == 15
        pages = list(client.recordings.search_pages(TextQuery("here", page_size=4)))
        assert [hit for page in pages for hit in page.hits] == list(whole)
        started = str(int(whole[0].start_time.timestamp() * 1000)).encode()
        assert all(started not in base64.urlsafe_b64decode(page.next_page_token) for page in pages)
        with pytest.raises(ExtauditError, match="page_token"):
            client.recordings.search_page(TextQuery("other"), pages[0].next_page_token)


@pytest.mark.parametrize("text", ["", "ab", "x" * 257, "a\nb", "abc\0"])
def test_texts_that_can_not_be_looked_for_are_refused(server: RunningServer, text: str) -> None:
    with server.client() as client, pytest.raises(ExtauditError, match="text"):
        client.recordings.search_page(TextQuery(text))


def test_the_command_shows_lines_below_their_session(server: RunningServer, tmp_path: Path) -> None:
    with server.client() as client:
        keep(client, SHELL, sample(SHELL))
        search(client, "hoist")

    def find(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        done = extaudit(tmp_path, "recordings", "search", *arguments, "--data-dir", str(server.data_dir))
        done.check_returncode()
        return done

    shown = find("hoist.log.1").stdout.decode()
    assert shown.splitlines()[0].startswith(SHELL)
    assert "0:00:19.170  -rw-r-----" in shown
    assert json.loads(find("hoist.log.1", "--output", "jsonl").stdout)["session_id"] == SHELL
    first = find("hoist", "--limit", "1")
    assert len(first.stdout.splitlines()) == 2
    assert first.stderr == b"more: there are others beyond --limit 1\n"
