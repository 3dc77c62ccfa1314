"""Bounds of single settings, rules over several, and over the files they name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from server.config import Config, ConfigProblems, GrpcSection, load_config
from server.config.rules import Address, parse_address
from server.config.settings import Setting, settings

MIB = 1024 * 1024
CERTIFICATE = "-----BEGIN CERTIFICATE-----\n"
KEY = "-----BEGIN EC PRIVATE KEY-----\n"


def problems(flags: dict[str, Any]) -> list[str]:
    try:
        load_config(flags, {})
    except ConfigProblems as found:
        return found.problems
    return []


BOUNDED = [each for each in settings() if each.low is not None]


def test_every_number_has_both_bounds() -> None:
    numbers = [each for each in settings() if each.type is not str]
    assert numbers == BOUNDED
    assert all(each.high is not None for each in numbers)


@pytest.mark.parametrize("setting", BOUNDED, ids=lambda each: each.name)
def test_a_number_may_be_at_its_bounds_and_not_beyond(setting: Setting) -> None:
    assert setting.low is not None
    assert setting.high is not None
    own = f"{setting.name} ({setting.flag}): must be {setting.bounds} {setting.unit}"
    for value, refused in (
        (setting.low, False),
        (setting.high, False),
        (setting.low - 1, True),
        (setting.high + 1, True),
    ):
        assert (own in problems({setting.key: value})) == refused, value


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400", "", "x", True, [], "1" * 5_000])
def test_a_number_must_be_one(value: object) -> None:
    assert problems({"journal_cut_age_seconds": value})
    assert problems({"journal_cut_events": value})


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9443", Address("127.0.0.1", 9443)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:65535", Address("::1", 65535)),
        ("audit-1.example.org:1", Address("audit-1.example.org", 1)),
        ("127.0.0.1", None),
        (":9443", None),
        ("::1:9443", None),
        ("[::1:9443", None),
        ("[:::]:1", None),
        ("127.0.0.1:65536", None),
        ("127.0.0.1:-1", None),
        ("unix:/tmp/x:1", None),
        ("a b:1", None),
        ("127.0.0.1:9443\n", None),
    ],
)
def test_an_address_is_host_and_port(text: str, address: Address | None) -> None:
    assert parse_address(text) == address
    assert bool(problems({"grpc_listen": text})) == (address is None)


@pytest.mark.parametrize(
    ("listen", "loopback"),
    [
        ("127.0.0.1:0", True),
        ("127.9.9.9:0", True),
        ("[::1]:0", True),
        ("localhost:0", True),
        ("0.0.0.0:0", False),
        ("[::]:0", False),
        ("192.0.2.1:0", False),
        ("localhost.example.org:0", False),
    ],
)
def test_off_loopback_http_needs_a_certificate_and_grpc_needs_none_configured(
    listen: str, loopback: bool, tmp_path: Path
) -> None:
    refused = ["http.listen (--http-listen): needs http.certificate and http.key off loopback"]
    assert problems({"http_listen": listen}) == ([] if loopback else refused)
    assert problems({"grpc_listen": listen}) == []
    (tmp_path / "c").write_text(CERTIFICATE)
    (tmp_path / "k").write_text(KEY)
    given = {"http_certificate": str(tmp_path / "c"), "http_key": str(tmp_path / "k")}
    assert problems({"http_listen": listen, **given}) == []


@pytest.mark.parametrize("section", ["grpc", "http"])
def test_certificate_and_key_go_together(section: str, tmp_path: Path) -> None:
    (tmp_path / "c").write_text(CERTIFICATE)
    (tmp_path / "k").write_text(KEY)
    for name, other, file in (("certificate", "key", "c"), ("key", "certificate", "k")):
        assert problems({f"{section}_{name}": str(tmp_path / file)}) == [
            f"{section}.{name} (--{section}-{name}): needs {section}.{other} as well"
        ]


@pytest.mark.parametrize("key", ["grpc_certificate", "grpc_key", "http_certificate", "grpc_host_ca", "grpc_user_ca"])
def test_named_files_must_be_readable_pem(key: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    value: Any = [str(file)] if key.endswith("_ca") else str(file)

    def refused() -> str:
        return problems({key: value})[-1]

    assert refused().endswith("the file can't be read (No such file or directory)")
    file.write_text("hello")
    assert "holds no" in refused()
    file.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    assert "holds no" in refused()
    file.write_text(KEY + CERTIFICATE + "x" * MIB)
    assert refused().endswith("the file is larger than 1 MiB")
    file.unlink()
    os.mkfifo(file)
    assert refused().endswith("the file can't be read (is a FIFO, not a file)")
    file.unlink()
    file.mkdir()
    assert refused().endswith("the file can't be read (is a folder, not a file)")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (
            {"grpc_max_event_bytes": 8 * MIB, "grpc_max_message_bytes": 8 * MIB},
            "grpc.max_message_bytes (--grpc-max-message-bytes): must be at least grpc.max_event_bytes + 65536",
        ),
        (
            {"journal_max_pending_bytes": 8 * MIB - 1},
            "journal.max_pending_bytes (--journal-max-pending-bytes): must be at least the largest message",
        ),
        (
            {"journal_quota_bytes": 31 * MIB},
            "journal.quota_bytes (--journal-quota-bytes): must be at least twice journal.cut_bytes",
        ),
        (
            {"journal_known_uids_minimum": 2_000_001},
            "journal.known_uids_bound (default): must be at least journal.known_uids_minimum",
        ),
    ],
)
def test_settings_must_agree(flags: dict[str, Any], told: str) -> None:
    assert problems(flags) == [told]


@pytest.mark.parametrize(
    ("event", "message", "effective"),
    [
        (2 * MIB, None, 8 * MIB),
        (8 * MIB, None, 8 * MIB + 65536),
        (16 * MIB, None, 16 * MIB + 65536),
        (2 * MIB, 4 * MIB, 4 * MIB),
    ],
)
def test_the_largest_message_has_room_for_the_largest_event(event: int, message: int | None, effective: int) -> None:
    assert GrpcSection(max_event_bytes=event, max_message_bytes=message).message_bytes == effective


@pytest.mark.parametrize("name", ["", "Example.org", "a_b", "-a", "a.", "a" * 254, "a\n", "a b"])
def test_a_cluster_name_is_lower_case_and_bounded(name: str) -> None:
    assert len(problems({"cluster_name": name})) == 1


def test_folders_must_be_folders_or_absent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for key in ("data_dir", "roles_dir"):
        assert problems({key: str(tmp_path / "none")}) == []
        assert problems({key: str(tmp_path)}) == []
        assert [line.partition(": ")[2] for line in problems({key: str(tmp_path / "file")})] == [
            "is there but is not a folder"
        ]


def test_the_ready_file_needs_a_folder_unless_it_is_the_data_folder(tmp_path: Path) -> None:
    absent = tmp_path / "none"
    assert problems({"ready_file": str(tmp_path / "ready.json")}) == []
    assert problems({"ready_file": str(absent / "ready.json"), "data_dir": str(absent)}) == []
    assert problems({"ready_file": str(absent / "ready.json")}) == [
        "ready_file (--ready-file): its folder does not exist"
    ]
    assert problems({"ready_file": str(tmp_path)}) == ["ready_file (--ready-file): is a folder"]


def test_the_defaults_are_valid() -> None:
    assert load_config({}, {}) == Config()
