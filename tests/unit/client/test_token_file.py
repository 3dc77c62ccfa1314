"""Tokens from files: only the owner's, read for every call, and never in a message."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from extaudit_client import Connection, ConnectionFailed
from extaudit_client.files import find_connection
from extaudit_client.token_file import read_token

READY = '{"grpc": "127.0.0.1:7000", "grpc_token": "127.0.0.1:7001", "ca": "/r/ca", "cert": "/r/cert", "key": "/r/key"}'


def token_file(folder: Path, content: bytes = b"a.b-_.c\n", mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ConnectionFailed) as caught:
        read_token(path)
    return caught.value.message


@pytest.mark.parametrize("content", [b"a.b-_.c", b"a.b-_.c\n", b"  a.b-_.c\r\n\n"])
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_token_is_read_without_the_white_space_around_it(tmp_path: Path, content: bytes, mode: int) -> None:
    assert read_token(token_file(tmp_path, content, mode)) == "a.b-_.c"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o601, 0o777])
def test_a_file_that_others_have_rights_to_is_refused(tmp_path: Path, mode: int) -> None:
    path = token_file(tmp_path, mode=mode)
    assert refusal(path) == f"the token file {path} may only be its owner's: run chmod 600 on it"


@pytest.mark.parametrize("content", [b"", b"\n", b"a b", b"a\nb", b"\xff", b"a\0", "é".encode(), b"canary" * 4_000])
def test_what_is_no_token_is_refused_without_being_shown(tmp_path: Path, content: bytes) -> None:
    path = token_file(tmp_path, content)
    assert refusal(path) == f"{path} holds no token"


def test_a_link_counts_as_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(token_file(tmp_path))
    assert read_token(tmp_path / "link") == "a.b-_.c"
    (tmp_path / "token").chmod(0o644)
    assert "chmod 600" in refusal(tmp_path / "link")


def test_a_file_that_is_not_there_or_none_is_said(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == f"there is no token file at {tmp_path / 'none'}"
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "is not a regular file" in refusal(tmp_path / "pipe")
    assert "is not a regular file" in refusal(tmp_path) or "can't read" in refusal(tmp_path)


def test_a_token_file_goes_to_the_listener_for_tokens_with_server_tls_only(tmp_path: Path) -> None:
    (tmp_path / "ready.json").write_text(READY)
    expected = Connection("127.0.0.1:7001", Path("/r/ca"), token_file=Path("/t"))
    assert find_connection({}, tmp_path, token_file=Path("/t")) == expected
    assert find_connection({"EXTAUDIT_TOKEN_FILE": "/t"}, tmp_path) == expected
    assert (expected.cert, expected.key) == (None, None)


def test_the_address_of_tokens_may_be_given(tmp_path: Path) -> None:
    (tmp_path / "ready.json").write_text(READY)
    found = find_connection({"EXTAUDIT_ADDRESS": "env:1"}, tmp_path, token_file=Path("/t"))
    assert (found.address, found.token_file) == ("env:1", Path("/t"))
    found = find_connection({"EXTAUDIT_ADDRESS": "env:1"}, tmp_path, address="arg:2", token_file=Path("/t"))
    assert found.address == "arg:2"


def test_a_token_is_never_sent_to_the_listener_for_certificates_by_default(tmp_path: Path) -> None:
    (tmp_path / "ready.json").write_text('{"grpc": "127.0.0.1:7000", "grpc_token": null}')
    with pytest.raises(ConnectionFailed, match="no listener for tokens is known"):
        find_connection({}, tmp_path, token_file=Path("/t"))


def test_a_given_certificate_goes_before_the_token_file_of_the_environment(tmp_path: Path) -> None:
    found = find_connection({"EXTAUDIT_TOKEN_FILE": "/t"}, tmp_path, cert=Path("/a/cert"), key=Path("/a/key"))
    assert (found.cert, found.token_file) == (Path("/a/cert"), None)
    environment = {"EXTAUDIT_CERT": "/e/cert", "EXTAUDIT_KEY": "/e/key", "EXTAUDIT_ADDRESS": "env:1"}
    assert find_connection(environment, tmp_path, token_file=Path("/t")).token_file == Path("/t")


@pytest.mark.parametrize("name", ["cert", "key"])
def test_a_token_file_and_a_certificate_of_one_source_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConnectionFailed, match="not both"):
        find_connection({}, tmp_path, token_file=Path("/t"), **{name: Path("/x")})
    with pytest.raises(ConnectionFailed, match="not both"):
        find_connection({"EXTAUDIT_TOKEN_FILE": "/t", f"EXTAUDIT_{name.upper()}": "/x"}, tmp_path)
