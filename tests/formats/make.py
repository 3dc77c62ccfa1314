"""Writes the data directory of the present code, as a kill leaves it: `python -m tests.formats.make VERSION`."""

from __future__ import annotations

import io
import json
import shutil
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from extaudit_client import Client, Query

from server.certificates.issuing import issue_user, list_issued
from tests.formats.directory import FOLDER, RECORDING, Manifest, pack
from tests.polling import until
from tests.running_server import RunningServer

ROLE = """kind: role
version: v7
metadata: {name: kept-reader}
spec: {allow: {rules: [{resources: [event], verbs: [list]}]}}
"""
LIMITS = ("--journal-cut-events", "10")
SESSIONS = ("6f0b9d3e-54c7-4c0e-9f2b-0d6f2a3c4e51", "b3a1c2d4-0e5f-4a6b-8c7d-9e0f1a2b3c4d")
QUERY = Query(types=("format.test",), order="oldest", page_size=5)
BLOCKED = "2026-11-09"
"""A date whose events can't be delivered, so that they stay in the spool."""


def event(number: int) -> bytes:
    """Events of three dates, some with what is awkward in JSON."""
    day = 1 + number % 3
    body = {"event": "format.test", "uid": f"kept-{number:03}", "time": f"2026-11-0{day}T00:00:{number:02}Z"}
    awkward = {"n": 2**63 + number, "text": f"“{number}” \u0000 \U0001f512", "user": {"name": "ada"}}
    return json.dumps(body | (awkward if number % 4 == 0 else {"user": "ada"})).encode()


def emit(client: Client, events: list[bytes]) -> dict[str, tuple[str, int, str]]:
    """Emit events one by one; gives where each is."""
    given = {}
    for data in events:
        answer = client.emit(data)
        given[json.loads(data)["uid"]] = (answer.log_id, answer.sequence, data.decode())
    return given


def make(folder: Path) -> Manifest:
    """Live through what leaves something of every format behind, and end by a kill."""
    with RunningServer(folder, *LIMITS).until_killed() as server, server.client() as client:
        data_dir = server.data_dir
        (data_dir / "roles" / "kept-reader.yaml").write_text(ROLE)
        issue_user(data_dir, "kept", ["kept-reader"], 3650, folder / "kept")
        lock = client.create_lock("user", "mallory", reason="kept")
        events = emit(client, [event(number) for number in range(25)])
        until(lambda: sum(item.objects for item in client.status().storages) >= 3)
        recording = client.recordings.upload(io.BytesIO(RECORDING), SESSIONS[0])
        finished, _ = client.recordings.complete(recording.upload_id)
        upload = client.recordings.upload(io.BytesIO(RECORDING[:3000]), SESSIONS[1])
        page = client.search(QUERY)
        second = client.search(QUERY, page.next_page_token)
        watched = watch(client, {}, 12)
        (data_dir / "storage" / "events" / BLOCKED).touch()
        blocked = event(57).replace(b"2026-11-01", BLOCKED.encode())
        events |= emit(client, [blocked, *(event(number) for number in range(30, 50))])
        until(lambda: any((data_dir / "spool").iterdir()))
        place, uids = watched
        behind = watch(client, place, len(events) - len(uids))[1]
    (data_dir / "storage" / "events" / BLOCKED).unlink()
    return Manifest(
        events,
        (page.next_page_token, [json.loads(row.json)["uid"] for row in second.rows]),
        place,
        behind,
        lock.id,
        [certificate.serial for certificate in list_issued(data_dir)],
        "kept-reader",
        SESSIONS[0],
        finished.custody_digest,
        upload.upload_id,
        3000,
    )


def watch(client: Client, after: dict[str, int], count: int) -> tuple[dict[str, int], list[str]]:
    """Watch at least so many events of the tests; gives the place behind them, and their uids."""
    uids: list[str] = []
    place = dict(after)
    with closing(client.watch(Query(types=("format.test",)), after=after)) as watching:
        while len(uids) < count:
            answer = next(watching)
            uids += [json.loads(row.json)["uid"] for row in answer.rows]
            place = dict(answer.place)
    return place, uids


def main(version: str) -> None:
    """Make, look that it was made in full, and pack."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = make(folder)
        data = folder / "data"
        for part in ("journal", "spool", "storage/events/_batches", "known_uids"):
            assert any((data / part).iterdir()), f"nothing in {part}"
        # The archive is the directory itself, not a copy of it that must fork; the others are made again by any start.
        for name_of_file in ("journal/place.json", "ready.json", "lock"):
            (data / name_of_file).unlink(missing_ok=True)
        shutil.rmtree(data / "policies", ignore_errors=True)
        pack(folder, manifest, FOLDER / f"{version}.tar.xz")


if __name__ == "__main__":
    main(sys.argv[1])
