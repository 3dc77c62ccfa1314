from __future__ import annotations

import json
from pathlib import Path

import pytest
from extaudit_client import Connection, ConnectionFailed
from extaudit_client.files import find_connection

READY = {"grpc": "127.0.0.1:7000", "ca": "/r/ca", "cert": "/r/cert", "key": "/r/key", "pid": 1, "http": None}
ENVIRONMENT = {
    "EXTAUDIT_ADDRESS": "env:1",
    "EXTAUDIT_CA": "/e/ca",
    "EXTAUDIT_CERT": "/e/cert",
    "EXTAUDIT_KEY": "/e/key",
}


def test_without_anything_the_data_directory_is_taken(tmp_path: Path) -> None:
    identity = tmp_path / "identity"
    expected = Connection("127.0.0.1:9443", identity / "ca.crt", identity / "admin.crt", identity / "admin.key")
    assert find_connection({}, tmp_path) == expected


def test_ready_goes_before_the_data_directory_and_the_environment_before_ready_and_arguments_before_all(
    tmp_path: Path,
) -> None:
    (tmp_path / "ready.json").write_text(json.dumps(READY))
    from_ready = Connection("127.0.0.1:7000", Path("/r/ca"), Path("/r/cert"), Path("/r/key"))
    assert find_connection({}, tmp_path) == from_ready
    from_environment = Connection("env:1", Path("/e/ca"), Path("/e/cert"), Path("/e/key"))
    assert find_connection(ENVIRONMENT, tmp_path) == from_environment
    given = {"ca": Path("/a/ca"), "cert": Path("/a/cert"), "key": Path("/a/key")}
    found = find_connection(ENVIRONMENT, tmp_path, address="arg:2", server_name="n", **given)
    assert found == Connection("arg:2", Path("/a/ca"), Path("/a/cert"), Path("/a/key"), "n")


def test_each_is_settled_by_itself(tmp_path: Path) -> None:
    found = find_connection({"EXTAUDIT_CA": "/e/ca"}, tmp_path, address="arg:2")
    assert (found.address, found.ca, found.cert) == ("arg:2", Path("/e/ca"), tmp_path / "identity" / "admin.crt")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("0.0.0.0:1", "127.0.0.1:1"),
        ("[::]:1", "[::1]:1"),
        ("[fe80::1]:65535", "[fe80::1]:65535"),
        ("h.example:9", None),
    ],
)
def test_an_address_that_means_everywhere_is_reached_by_loopback(
    tmp_path: Path, given: str, expected: str | None
) -> None:
    assert find_connection({}, tmp_path, address=given).address == (expected or given)


@pytest.mark.parametrize(
    "address", ["host", ":1", "host:", "host:0", "host:65536", "host:x", "fe80::1:9443", "h:\u0661"]
)
def test_an_address_that_is_not_host_and_port_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConnectionFailed, match="host:port"):
        find_connection({}, tmp_path, address=address)


@pytest.mark.parametrize("content", ["", "[]", "{", '"x"'])
def test_a_ready_file_that_cannot_be_read_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "ready.json").write_text(content)
    with pytest.raises(ConnectionFailed, match=r"ready\.json"):
        find_connection({}, tmp_path)


def test_a_connection_finds_itself_as_the_command_line_does(tmp_path: Path) -> None:
    (tmp_path / "ready.json").write_text(
        '{"grpc": "127.0.0.1:7000", "ca": "/r/ca", "cert": "/r/cert", "key": "/r/key"}'
    )
    environment = {"EXTAUDIT_DATA_DIR": str(tmp_path), "EXTAUDIT_CERT": "/e/cert"}
    found = Connection.from_environment(environment, server_name="audit.example.com")
    assert found == find_connection(environment, tmp_path, server_name="audit.example.com")
    assert (found.address, found.cert, found.key) == ("127.0.0.1:7000", Path("/e/cert"), Path("/r/key"))


def test_a_data_directory_alone_says_where_its_service_is_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTAUDIT_ADDRESS", "elsewhere:1")
    monkeypatch.setenv("EXTAUDIT_TOKEN_FILE", "/e/token")
    (tmp_path / "ready.json").write_text(
        '{"grpc": "127.0.0.1:7000", "ca": "/r/ca", "cert": "/r/cert", "key": "/r/key"}'
    )
    found = Connection.from_data_dir(tmp_path)
    assert found == Connection("127.0.0.1:7000", Path("/r/ca"), Path("/r/cert"), Path("/r/key"))
