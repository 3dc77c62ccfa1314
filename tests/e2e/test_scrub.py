"""What is wrong with stored objects is found in the background, told everywhere, once, and forgotten once mended."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from extaudit_client import Client, Query

from server.state.database import database_path, open_database
from server.state.storage_damage import SqlStorageDamage, Walk
from tests.e2e.doctored import DATES, QUICK_CUTS, fill, flip, objects
from tests.polling import until
from tests.running_server import RunningServer, running_server

QUICK = (*QUICK_CUTS, "--scrub-period-seconds", "0.3")
SLOW = ("--scrub-period-seconds", "60")
"""Enough that no walk comes to its end while one waits for its first step, on a slow machine too."""
DAMAGE = "extaudit.storage.damage"


def warning(client: Client) -> str:
    """What status says of the storage."""
    return next((each.description for each in client.status().problems if each.name == "storage_damaged"), "")


def events(client: Client) -> list[tuple[str, str]]:
    """Object and kind of every audit event of damage, oldest first."""
    found = []
    for page in client.search_pages(Query(types=(DAMAGE,), order="oldest")):
        for row in page.rows:
            event = json.loads(row.json)
            found.append((event["object"], event["kind"]))
    return found


def metrics(server: RunningServer) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{server.wait_until_ready()['http']}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if line.startswith("extaudit_scrub"))
    }


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def missing(client: Client, date: str) -> dict[str, str]:
    """What a search of one date says is missing, by object."""
    start = datetime.fromisoformat(f"{date}T00:00:00+00:00")
    page = client.search(Query(from_time=start, to_time=start + timedelta(days=1)))
    return {part.name: part.reason for part in page.missing}


def test_a_flipped_byte_a_removed_and_an_added_object_are_told_in_status_metric_event_and_search(
    tmp_path: Path,
) -> None:
    with running_server(tmp_path, *QUICK) as server, server.client() as client:
        fill(server)
        until(lambda: metrics(server)["extaudit_scrub_last_full_pass_timestamp_seconds"] > 0)
        assert warning(client) == ""
        changed, removed = (next(path for path in objects(server.data_dir) if date in str(path)) for date in DATES[:2])
        added = removed.parent / "0123456789abcdef0123-1-9.parquet"
        kept, bytes_before = removed.read_bytes(), changed.read_bytes()
        added.write_bytes(kept)
        flip(changed)
        removed.unlink()
        wanted = {(name_of(changed), "changed"), (name_of(removed), "missing"), (name_of(added), "unlisted")}
        until(lambda: set(events(client)) == wanted)
        assert "1 missing, 1 changed, 1 unlisted" in warning(client)
        assert client.status().serving
        found = metrics(server)
        kinds = ("missing", "changed", "unlisted")
        assert [found[f'extaudit_scrub_findings{{kind="{kind}"}}'] for kind in kinds] == [1.0, 1.0, 1.0]
        assert missing(client, DATES[0])[name_of(changed)] == "object_changed"
        # What was added has the events of what was removed, and no receipts.
        assert missing(client, DATES[1]) == {
            name_of(removed): "object_missing",
            name_of(added): "receipts_unreadable",
        }
        (tmp_path / "kept").write_bytes(kept)
        (tmp_path / "kept").rename(removed)  # at once: half of it would be another finding
        changed.write_bytes(bytes_before)
        added.unlink()
        until(lambda: warning(client) == "")
        assert missing(client, DATES[0]) == missing(client, DATES[1]) == {}
        assert len(events(client)) == 3
        flip(changed)
        until(lambda: len(events(client)) == 4)  # another time is another finding


def test_a_finding_is_told_once_whatever_the_restarts(tmp_path: Path) -> None:
    with running_server(tmp_path, *QUICK) as server:
        fill(server)
    objects(server.data_dir)[0].unlink()
    record = next((server.data_dir / "storage" / "events" / "_batches").glob("*/*.json"))
    record.write_bytes(record.read_bytes() + b" ")
    for _ in range(3):
        with running_server(tmp_path, *QUICK) as server, server.client() as client:
            until(lambda client=client: "1 missing, 1 changed" in warning(client))
            wait_for_another_pass(server)
            until(lambda client=client: len(events(client)) == 2)
            assert "_batches/" in sorted(name for name, _ in events(client))[-1]


def wait_for_another_pass(server: RunningServer) -> None:
    last = metrics(server)["extaudit_scrub_last_full_pass_timestamp_seconds"]
    until(lambda: metrics(server)["extaudit_scrub_last_full_pass_timestamp_seconds"] > last)


def test_the_walk_goes_on_after_a_restart_where_it_was(tmp_path: Path) -> None:
    with running_server(tmp_path, *QUICK_CUTS) as server:
        fill(server)
    with damage_of(server.data_dir) as kept:
        kept.keep_walk(Walk())  # the one that was over when there was nothing yet: else the next waits for its period
    walks = []
    for _ in range(2):
        with running_server(tmp_path, *QUICK_CUTS, *SLOW) as server:
            until(lambda: metrics(server)["extaudit_scrub_objects_total"] > 0)
        walks.append(walk(server.data_dir))
    assert walks[0].passed_ms == walks[1].passed_ms
    assert walks[0].begun_ms == walks[1].begun_ms
    assert "" < walks[0].position < walks[1].position


def test_a_copy_is_walked_through_from_the_beginning_and_claims_no_walk_of_the_original(tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    for folder in (original, copy):
        folder.mkdir()
    with running_server(original, *QUICK_CUTS) as server:
        until(lambda: metrics(server)["extaudit_scrub_last_full_pass_timestamp_seconds"] > 0)
        fill(server)
    shutil.copytree(original / "data", copy / "data")
    with running_server(copy, *QUICK_CUTS, *SLOW) as server:
        until(lambda: metrics(server)["extaudit_scrub_objects_total"] > 0)
        assert metrics(server)["extaudit_scrub_last_full_pass_timestamp_seconds"] == 0
    assert (walk(copy / "data").position > "", walk(copy / "data").passed_ms) == (True, None)


def walk(data_dir: Path) -> Walk:
    with damage_of(data_dir) as kept:
        return kept.walk()


@contextmanager
def damage_of(data_dir: Path) -> Iterator[SqlStorageDamage]:
    """What the state of a stopped server has of its scrub."""
    engine = open_database(database_path(data_dir))
    try:
        yield SqlStorageDamage(engine)
    finally:
        engine.dispose()
