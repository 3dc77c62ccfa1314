"""SIGHUP: what is wrong changes nothing, and no call notices that the configuration is read again."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from extaudit_client import Query

from tests.e2e.reloaded_server import BASE, ReloadedServer, toml
from tests.polling import until
from tests.running_server import RunningServer

RELOADED, REFUSED = "extaudit.configuration.reload", "extaudit.configuration.refused"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ReloadedServer]:
    served = ReloadedServer(tmp_path)
    with served.server.until_killed():
        yield served
        served.server.stop()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ('[search]\nworkers = "canary"\n', "search.workers (file): must be a whole number"),
        ("[search]\nworkers = 1\nunknown = 1\n", "there is no such setting"),
        ("not TOML", "--config: the file is not TOML, at line 1, column 5"),
        (
            "[journal]\nquota_bytes = 1_048_576\n",
            "journal.quota_bytes (file): must be at least twice journal.cut_bytes",
        ),
        (
            toml({"journal.max_pending_bytes": 65_536 * 3, "grpc.max_event_bytes": 65_536})
            + "max_message_bytes = 131_072\n",
            "as long as other settings wait for a restart",
        ),
    ],
    ids=["value", "unknown", "syntax", "together", "with what waits"],
)
def test_a_wrong_configuration_changes_nothing_at_all(served: ReloadedServer, wrong: str, told: str) -> None:
    limit = "[limits]\ncalls_per_second = 1\n"
    with served.client() as client:
        before = client.status().configuration_digest
        line = served.refuse(limit + wrong if "[" in wrong else wrong)
        assert told in line
        assert "canary" not in served.server.said
        for _ in range(5):
            status = client.status()
        assert status.configuration_digest == before
        assert "configuration_refused" in {each.name for each in status.problems}
        served.reload({})
        assert client.status().problems == ()
        until(lambda: len(list(client.search_all(Query(types=(REFUSED, RELOADED))))) == 2)
        refused, reloaded = (
            json.loads(row.json) for row in client.search_all(Query(types=(REFUSED, RELOADED), order="oldest"))
        )
        assert any(told in problem for problem in refused["problems"])
        assert (refused["in_force"], reloaded["before"], reloaded["after"]) == (before, before, before)


def test_reloading_under_load_drops_no_call(served: ReloadedServer) -> None:
    events, done, acknowledged = 3_000, threading.Event(), []

    def numbered() -> Iterator[bytes]:
        for number in range(events):
            yield b'{"event":"load","uid":"n-%d"}' % number
        done.set()

    def emit() -> None:
        with served.client() as client:
            acknowledged.extend(client.emit_stream(numbered(), batch_size=5, window=4))

    emitter = threading.Thread(target=emit)
    emitter.start()
    reloads = 0
    with served.client() as client:
        while not done.is_set() or reloads < 5:
            reloads += 1
            changed, _ = served.reload({"limits.concurrent_calls": 100 + reloads, "journal.cut_events": 100 + reloads})
            assert changed == ["journal.cut_events", "limits.concurrent_calls"]
            client.search(Query(types=("load",)))
        emitter.join(60)
        assert sum(1 for _ in client.search_all(Query(types=("load",)))) == events
    assert len(acknowledged) == events // 5


def test_many_signals_at_once_are_one_reading_more(served: ReloadedServer) -> None:
    served.write({"limits.concurrent_calls": 77})
    for _ in range(200):
        os.kill(served.pid, signal.SIGHUP)
    with served.client() as client:
        until(lambda: list(client.search_all(Query(types=(RELOADED,)))))
        client.status()
    changed = [row for row in served.server.said.split("\n") if '"changed": ["limits.concurrent_calls"]' in row]
    assert len(changed) == 1


def test_a_signal_during_the_start_is_heeded_after_it(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(toml(BASE))
    server = RunningServer(tmp_path, "--config", str(file), "--data-dir", str(tmp_path / "data"))
    with server.until_killed():
        until((tmp_path / "data" / "identity").exists)
        file.write_text(toml({**BASE, "limits.concurrent_calls": 77}))
        os.kill(server.pid, signal.SIGHUP)
        server.wait_until_ready()
        until(lambda: '"changed": ["limits.concurrent_calls"]' in server.said)
        server.stop()
