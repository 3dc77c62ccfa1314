"""What a damaged journal has lost, as the whole service tells it: status, searches, and one audit event."""

from __future__ import annotations

import json
from pathlib import Path

from extaudit_client import Client, Query
from extaudit_client.files import find_connection

from server.audit_log.journal.trimming import DAMAGED
from server.service_events import JOURNAL_DAMAGED
from tests.crash.damaged_journal import flipped
from tests.running_app import running_app


def client(data_dir: Path) -> Client:
    return Client(find_connection({}, data_dir))


def told(data_dir: Path) -> list[bytes]:
    with client(data_dir) as asked:
        pages = list(asked.search_pages(Query(types=(JOURNAL_DAMAGED,))))
    assert [part.reason for page in pages for part in page.missing] == ["journal_hole"]
    return [row.json for page in pages for row in page.rows]


def test_a_hole_is_told_once_however_often_the_service_starts(tmp_path: Path) -> None:
    with running_app(tmp_path) as app, client(tmp_path) as emitter:
        places = [emitter.emit(b'{"event":"a","uid":"u-%d"}' % number) for number in range(3)]
        log_id = app.log.journal.log_id
    (segment,) = (tmp_path / "journal" / log_id).iterdir()
    content = segment.read_bytes()
    segment.write_bytes(flipped(content, content.index(b'"u-1"')))
    sequence = places[1].sequence
    lost = {"log_id": log_id, "first_sequence": sequence, "last_sequence": sequence}
    for _ in range(2):
        with running_app(tmp_path), client(tmp_path) as asked:
            (hole,) = asked.status().journal.holes
            assert (hole.log_id, hole.first_sequence, hole.last_sequence) == (log_id, sequence, sequence)
            (event,) = told(tmp_path)
            assert json.loads(event)["lost"] == lost
            found = [row.uid for page in asked.search_pages(Query(types=("a",))) for row in page.rows]
            assert sorted(found) == ["u-0", "u-2"]
            assert asked.emit(b'{"event":"b"}').log_id != log_id
    assert (tmp_path / "journal" / DAMAGED / log_id / segment.name).exists()
