"""The command line against a real server, each a process of its own, from an empty data directory on."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.polling import until
from tests.running_server import extaudit as in_folder
from tests.running_server import running_server

EVENT = b'{"event":"user.login","uid":"e2e-1","time":"2024-05-01T12:00:00Z","user":"alice","n":1.10,  "ok":true}'

Done = subprocess.CompletedProcess[bytes]
Extaudit = Callable[..., Done]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with a server that serves from `data` in it."""
    folder = tmp_path_factory.mktemp("line")
    with running_server(folder):
        yield folder


@pytest.fixture(scope="module")
def extaudit(folder: Path) -> Extaudit:
    def call(*arguments: str, given: bytes = b"") -> Done:
        return in_folder(folder, *arguments, given=given)

    return call


def test_the_sample_is_accepted_and_found(extaudit: Extaudit) -> None:
    emitted = extaudit("events", "emit", "--sample", "--output", "json")
    summary = json.loads(emitted.stdout)
    assert (emitted.returncode, summary["refused"], summary["unacknowledged"]) == (0, 0, 0)
    found = extaudit("events", "search", "--all", "--output", "jsonl")
    assert found.returncode == 0
    assert len(found.stdout.splitlines()) >= summary["accepted"] > 50


def test_an_event_comes_back_byte_for_byte_and_a_retry_is_repeated(extaudit: Extaudit) -> None:
    first = json.loads(extaudit("events", "emit", "--file", "-", "--output", "json", given=EVENT).stdout)
    again = json.loads(extaudit("events", "emit", "--file", "-", "--output", "json", given=EVENT + b"\n").stdout)
    assert (first["accepted"], first["repeated"]) == (1, 0)
    assert (again["accepted"], again["repeated"]) == (0, 1)
    assert extaudit("events", "get", "e2e-1", "--output", "json").stdout == EVENT
    found = extaudit("events", "search", "--uid", "e2e-1", "--field", "n=1.1", "--output", "json")
    (row,) = json.loads(found.stdout)["rows"]
    receipt = row["receipts"][0]
    assert receipt["emitter"]["name"] == "admin"
    position = f"{receipt['log_id']}:{receipt['sequence']}"
    assert extaudit("events", "get", position, "--output", "json").stdout == EVENT


def test_a_refused_event_is_named_by_line_and_stops_nothing(extaudit: Extaudit) -> None:
    lines = b'{"event":"a.b","uid":"e2e-2"}\n\n{"event":1}\n{"event":"a.b","uid":"e2e-3"}\n'
    done = extaudit("events", "emit", "--file", "-", given=lines)
    assert done.returncode == 1
    assert done.stdout.startswith(b"line 3: refused: ")
    assert b"2 accepted, 0 repeated, 1 refused" in done.stdout


def test_a_search_goes_on_from_its_token(extaudit: Extaudit) -> None:
    # Oldest first, since every search leaves a newer event of its own.
    search = ["events", "search", "--order", "oldest", "--output", "json"]
    whole = json.loads(extaudit(*search, "--limit", "4").stdout)
    first = json.loads(extaudit(*search, "--limit", "2").stdout)
    rest = json.loads(extaudit(*search, "--limit", "2", "--page-token", first["next_page_token"]).stdout)
    assert [row["digest"] for row in first["rows"] + rest["rows"]] == [row["digest"] for row in whole["rows"]]


def test_an_issued_identity_may_do_what_its_roles_allow_and_no_more(extaudit: Extaudit, folder: Path) -> None:
    issued = extaudit("identity", "issue", "eve", "--role", "auditor", "--out-dir", "eve", "--output", "json")
    files = json.loads(issued.stdout)
    options = ["--ca", files["ca"], "--cert", files["cert"], "--key", files["key"]]
    search = ("events", "search", "--limit", "1", *options)
    until(lambda: extaudit(*search).returncode == 0)  # a running server learns of a new certificate soon
    refused = extaudit("events", "emit", "--file", "-", *options, given=EVENT)
    assert refused.returncode == 1
    assert b"ACCESS_DENIED" in refused.stderr


def test_the_status_is_that_of_a_serving_service(extaudit: Extaudit) -> None:
    done = extaudit("status", "--output", "json")
    status = json.loads(done.stdout)
    assert (done.returncode, status["serving"], status["problems"]) == (0, True, [])


def test_what_is_not_there_is_one_line(extaudit: Extaudit) -> None:
    done = extaudit("events", "get", "no-such-uid")
    assert (done.returncode, done.stdout) == (1, b"")
    assert len(done.stderr.splitlines()) == 1
    assert b"NOT_FOUND" in done.stderr


def test_an_integration_is_kept_and_each_refusal_is_one_line(extaudit: Extaudit) -> None:
    role = ("--role-arn", "arn:aws:iam::111122223333:role/audit")
    made = json.loads(extaudit("integrations", "create", "ours", *role, "--output", "json").stdout)
    assert json.loads(extaudit("integrations", "get", "ours", "--output", "jsonl").stdout) == made
    assert json.loads(extaudit("integrations", "list", "--output", "json").stdout) == [made]
    heads, row = extaudit("integrations", "list").stdout.decode().splitlines()
    # Who created it need not be who changed it last.
    assert heads.index("CREATED BY") == row.index(made["creator"]["name"]) < heads.index("CHANGED")
    assert made["web_identity"]["subject"] == "extaudit:integration:ours"
    assert extaudit("storage", "generate", "--integration", "ours", "--region", "us-west-2").returncode == 0
    refusals = {
        ("create", "ours", *role): b"there is an integration of that name (ALREADY_EXISTS)",
        ("create", "a b", *role): b"integration.name: must be 1 to 128 characters",
        ("update", "ours", "--role-arn", "x"): b"integration.aws_oidc.role_arn: must be arn:<partition>:iam::",
        ("update", "ours", *role, "--revision", "old"): b"(STALE_REVISION)",
        ("delete", "ours"): b"the draft of an external audit storage names it (INTEGRATION_IN_USE)",
        ("get", "theirs"): b"there is no integration of that name (NOT_FOUND)",
        ("aws-setup", "ours"): b"the service has no issuer for AWS to trust: set issuer_url where it runs",
    }
    for arguments, text in refusals.items():
        refused = extaudit("integrations", *arguments)
        assert (refused.returncode, refused.stdout, refused.stderr.count(b"\n")) == (1, b"", 1), arguments
        assert text in refused.stderr
