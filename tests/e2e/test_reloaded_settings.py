"""Every setting either takes effect by SIGHUP in a running server, or is named by the log as needing a restart."""

from __future__ import annotations

import io
import json
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from extaudit_client import Client, Query
from extaudit_client.errors import ExtauditError

from server.config.settings import settings, tables
from tests.e2e.reloaded_server import ReloadedServer, reason_of
from tests.polling import until
from tests.tokens_builder import ed_key, jwks

TIB = 1024**4
EVENT = b'{"event":"a"}'
LARGE = b'{"event":"a","x":"%s"}' % (b"x" * 60_000)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReloadedServer]:
    served = ReloadedServer(tmp_path_factory.mktemp("reloaded"))
    with served.server.until_killed():
        yield served
        served.server.stop()


def emit(client: Client, event: bytes = EVENT) -> None:
    client.emit(event)


def search(client: Client) -> None:
    client.search(Query(text="nowhere"))


def begin_upload(client: Client, size: int = 10) -> str:
    return client.recordings.upload(io.BytesIO(bytes(size)), str(uuid.uuid4())).upload_id


def together(client: Client, call: Callable[[Client], object], calls: int = 24) -> set[str]:
    """Why calls at the same time are refused."""
    with ThreadPoolExecutor(calls) as threads:
        return set(threads.map(lambda _: reason_of(lambda: call(client)), range(calls)))


def has_cut(client: Client, event: bytes = EVENT) -> None:
    """Emitting makes a batch, which at the limits of before took thousands of events or minutes."""
    before = client.status().storages[0].objects
    until(lambda: emit(client, event) or client.status().storages[0].objects > before)


def has_problem(client: Client, name: str) -> None:
    until(lambda: name in {each.name for each in client.status().problems})


def is_refused(client: Client, reason: str, call: Callable[[Client], object]) -> None:
    until(lambda: reason_of(lambda: call(client)) == reason)


def one_stream_only(client: Client) -> None:
    enough = threading.Event()

    def events() -> Iterator[bytes]:
        while not enough.wait(0.02):
            yield EVENT

    def hold_one_open() -> None:
        while not enough.is_set():  # it may be the one that is refused
            reason_of(lambda: list(client.emit_stream(events(), batch_size=1)))

    with ThreadPoolExecutor(1) as thread:
        thread.submit(hold_one_open)
        try:
            is_refused(client, "CONCURRENCY_LIMIT", lambda c: list(c.emit_stream(iter([EVENT]))))
        finally:
            enough.set()


def too_much_waits(client: Client) -> None:
    until(lambda: "OVERLOADED" in together(client, lambda c: list(c.emit_stream(iter([LARGE] * 30), batch_size=30))))


def runs_out_of_time(client: Client) -> None:
    """One worker for many searches of much text: those that wait for it have no time left."""
    list(client.emit_stream(iter([LARGE] * 300), batch_size=30))

    def is_cut_short(_: int) -> bool:
        try:
            return bool(client.search(Query(text="nowhere")).missing)
        except ExtauditError as error:
            return error.code == "DEADLINE_EXCEEDED"

    def any_is() -> bool:
        with ThreadPoolExecutor(40) as threads:
            return any(threads.map(is_cut_short, range(40)))

    until(any_is)


def is_abandoned(client: Client) -> None:
    upload = begin_upload(client)
    has_problem(client, "uploads_abandoned")
    client.recordings.abort(upload)


def one_upload_only(client: Client) -> None:
    is_refused(client, "TOO_MANY_UPLOADS", begin_upload)


def rotates_by_itself(client: Client) -> None:
    query = Query(types=("extaudit.issuer.key.activate",))
    before = len(client.search(query).rows)
    until(lambda: len(client.search(query).rows) > before)


EFFECTS: dict[str, tuple[object, Callable[[Client], object]]] = {
    "journal.quota_bytes": (TIB // 1024, lambda c: until(lambda: c.status().journal.quota_bytes == TIB // 1024)),
    "journal.disk_floor_bytes": (TIB, lambda c: has_problem(c, "disk_floor")),
    "journal.cut_events": (1, has_cut),
    "journal.cut_bytes": (1024, lambda c: has_cut(c, b'{"event":"a","x":"%s"}' % (b"x" * 2000))),
    "journal.cut_age_seconds": (0.1, has_cut),
    "journal.cut_dates": (1, lambda c: has_cut(c, b'{"event":"a","time":"2026-01-01T00:00:00Z"}')),
    "journal.max_pending_bytes": (2**21, too_much_waits),
    "search.time_limit_seconds": (0.1, runs_out_of_time),
    "recordings.max_bytes": (2**20, lambda c: is_refused(c, "RECORDING_TOO_LARGE", lambda c: begin_upload(c, 2**21))),
    "recordings.abandoned_after_seconds": (1, is_abandoned),
    "recordings.open_uploads": (1, one_upload_only),
    "recordings.open_uploads_of_identity": (1, one_upload_only),
    "recordings.disk_floor_bytes": (TIB, lambda c: is_refused(c, "DISK_FLOOR", begin_upload)),
    "limits.calls_per_second": (1, lambda c: until(lambda: "RATE_LIMIT" in together(c, Client.status))),
    "limits.events_per_second": (1, lambda c: until(lambda: "RATE_LIMIT" in together(c, emit))),
    "limits.concurrent_calls": (1, lambda c: until(lambda: "CONCURRENCY_LIMIT" in together(c, search))),
    "limits.concurrent_streams": (1, one_stream_only),
    "issuer.rotation_days": (0.00001, rotates_by_itself),
    "issuer.publish_ahead_seconds": (
        3_600,
        lambda c: is_refused(c, "KEY_NOT_PUBLISHED", lambda c: c.integrations.rotate_signing_key()),
    ),
    "log.level": ("debug", emit),
    "log.format": ("text", emit),
}
"""By setting: another value, and what shows that it is in force."""


def waiting_values(folder: Path) -> dict[str, dict[str, object]]:
    """By setting: other values, of those too that it can't be without."""
    identity = folder / "data" / "identity"
    (folder / "jwks.json").write_bytes(jwks(ed_key()))
    for name in "server.crt", "server.key", "host-ca.crt", "user-ca.crt":
        shutil.copy(identity / name, folder / name)
    pairs = {
        section: {f"{section}.certificate": folder / "server.crt", f"{section}.key": folder / "server.key"}
        for section in ("grpc", "http")
    }
    issuer = {"issuer": "https://tokens.test", "audience": "a", "jwks_file": folder / "jwks.json"}
    tokens = {"grpc.token_listen": "127.0.0.1:0", "grpc.token_issuers": [issuer]}
    alone: dict[str, object] = {
        "data_dir": folder / "other",
        "cluster_name": "other.example",
        "roles_dir": folder / "roles",
        "ready_file": folder / "ready.json",
        "issuer_url": "https://audit.test",
        "grpc.host_ca": [folder / "host-ca.crt"],
        "grpc.user_ca": [folder / "user-ca.crt"],
        "issuer.wrapping_key": folder / "jwks.json",
        "grpc.max_event_bytes": 65_537,
        "grpc.max_message_bytes": 2**21 - 1,
        "grpc.max_concurrent_calls": 999,
    }
    numbers = {each.name: each.default + 1 for each in settings() if isinstance(each.default, int | float)}
    alone = numbers | alone
    alone |= {"traces.ratio": 0.5, "traces.sampling": "caller", "traces.service_name": "other"}
    alone |= {"aws.endpoint": "https://aws.test", "aws.s3_endpoint": "https://s3.test", "aws.s3_path_style": "always"}
    alone |= {"aws.ca": folder / "user-ca.crt", "aws.proxy": "http://proxy.test:3128"}
    alone |= {"external_storage.region": "eu-west-1", "external_storage.other_regions": "eu-west-2"}
    alone |= {"aws.s3_conditional_writes": "no", "aws.s3_checksums": "md5"}
    together = {"grpc.certificate": pairs["grpc"], "grpc.key": pairs["grpc"], "http.certificate": pairs["http"]}
    together |= {"http.key": pairs["http"], "grpc.token_listen": tokens, "grpc.token_issuers": tokens}
    public = {"http.public_certificate": folder / "server.crt", "http.public_key": folder / "server.key"}
    public |= {"http.public_listen": "127.0.0.1:0"}
    together |= dict.fromkeys(public, public)
    together |= {"aws.s3_versioning": {"aws.s3_versioning": "optional", "aws.s3_endpoint": "https://s3.test"}}
    traces = {"traces.endpoint": "https://collector.test:4317", "traces.ca": folder / "user-ca.crt"}
    together |= {"traces.endpoint": traces, "traces.ca": traces}
    return {name: {name: value} for name, value in alone.items()} | together


BY_FLAG = ("data_dir", "grpc.listen", "http.listen")
"""What the server under test was given by flags."""
WAITING = [*(each.name for each in settings() if not each.reload), *(each.name for each in tables())]


def test_every_setting_that_is_reloaded_has_an_effect_to_be_seen() -> None:
    assert set(EFFECTS) == {each.name for each in settings() if each.reload}


@pytest.mark.parametrize("name", EFFECTS)
def test_a_changed_setting_takes_effect(served: ReloadedServer, name: str) -> None:
    value, shows = EFFECTS[name]
    said = len(served.server.said)
    assert served.reload({name: value}) == ([name], [])
    try:
        with served.client() as client:
            shows(client)
            if name.startswith("log."):
                until(lambda: _is_logged_so(served.server.said[said:], name))
    finally:
        assert served.reload({}) == ([name], [])


def _is_logged_so(said: str, name: str) -> bool:
    last = said.rpartition("\n")[0].rpartition("\n")[2]
    return '"level": "debug"' in said if name == "log.level" else not last.startswith("{")


@pytest.mark.parametrize("name", [name for name in WAITING if name not in BY_FLAG])
def test_what_needs_a_restart_is_named_and_stays(served: ReloadedServer, name: str) -> None:
    with served.client() as client:
        before = client.status().configuration_digest
        values = waiting_values(served.folder)[name]
        assert served.reload(values) == ([], [each for each in WAITING if each in values])
        assert name in values
        status = client.status()
        assert status.configuration_digest == before
        (problem,) = [each for each in status.problems if each.name == "restart_needed"]
        assert name in problem.description
        served.reload({})
        assert "restart_needed" not in {each.name for each in client.status().problems}


@pytest.mark.parametrize("name", BY_FLAG)
def test_what_a_flag_gives_stays_as_the_flag_has_it(served: ReloadedServer, name: str) -> None:
    assert served.reload({name: "127.0.0.1:1"}) == ([], [])
    served.reload({})


def test_the_log_tells_both_in_one_line_without_values(served: ReloadedServer) -> None:
    assert served.reload({"search.threads": 7, "search.time_limit_seconds": 77.5}) == (
        ["search.time_limit_seconds"],
        ["search.threads"],
    )
    line = served.hang_up("the configuration was read again")
    assert "77" not in json.dumps(json.loads(line)["fields"]["changed"])
    served.reload({})
