from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import pytest
from extaudit_cli.profile_file import (
    ProfileProblem,
    Profiles,
    changing,
    profiles_path,
    read_profiles,
    write_profiles,
)

ODD = 'q"\\ü😀'
FULL = {"address": "h:1", "ca": f"/{ODD}", "cert": "/cert", "key": "/key", "data_dir": "/d", "output": "json"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "profiles.toml"


def put(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_what_is_written_is_read_again_and_only_its_owner_may_read_it(path: Path) -> None:
    profiles = Profiles({"a-1": FULL, "b": {"token_file": "/token"}}, "b")
    write_profiles(path, profiles)
    assert read_profiles(path) == profiles
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert tomllib.loads(path.read_text())["profiles"]["a-1"] == FULL
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"XDG_CONFIG_HOME": "/c"}, "/c/extaudit/profiles.toml"),
        ({"XDG_CONFIG_HOME": "relative"}, "~/.config/extaudit/profiles.toml"),
        ({"XDG_CONFIG_HOME": ""}, "~/.config/extaudit/profiles.toml"),
        ({}, "~/.config/extaudit/profiles.toml"),
    ],
)
def test_where_the_file_is(environment: dict[str, str], expected: str) -> None:
    assert profiles_path(environment) == Path(expected).expanduser()


def test_no_file_is_no_profiles(path: Path) -> None:
    assert read_profiles(path) == Profiles()


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(path: Path, mode: int) -> None:
    put(path, "", mode)
    with pytest.raises(ProfileProblem, match=r"others may write .*chmod 600"):
        read_profiles(path)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_a_file_that_others_may_read_is_taken(path: Path, mode: int) -> None:
    assert read_profiles(put(path, "", mode)) == Profiles()


def test_a_file_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(path, "")
    if path.stat().st_uid == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(ProfileProblem, match="belongs to another user"):
        read_profiles(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileProblem, match=r"can't read .*directory"):
        read_profiles(tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x", "can't be read as TOML"),
        ("nope = 1", "unknown key 'nope'"),
        ("[profiles.a]\npassword = 'hunter2'", "unknown key 'password' in profile 'a'"),
        ("[profiles.a]\naddress = 1", "'address' in profile 'a' must be a text"),
        ("[profiles.a]\naddress = ''", "'address' in profile 'a' must be a text"),
        ('[profiles.a]\nca = "a\\u001bb"', "'ca' in profile 'a' must be a text"),
        ("[profiles.a]\noutput = 'xml'", "'output' in profile 'a' must be one of table, json, jsonl"),
        ("[profiles.a]\ncert = 'c'", "'cert' and 'key' belong together in profile 'a'"),
        ("[profiles.a]\ncert = 'c'\nkey = 'k'\ntoken_file = 't'", "not both, in profile 'a'"),
        ("[profiles.none]", "'none' means no profile"),
        ("[profiles.'a b']", "'a b' is no name"),
        ("[profiles.a]\n[profiles.b]\nx = 1\n[profiles.c]\ny = 1", "'x' in profile 'b'.*'y' in profile 'c'"),
        ("use = 'b'\n[profiles.a]", "'use' names no profile"),
        ("profiles = 1", "profiles are tables"),
        ("profiles.a = 1", "profiles are tables"),
    ],
)
def test_everything_wrong_is_named_and_no_value_is_told(path: Path, text: str, problem: str) -> None:
    with pytest.raises(ProfileProblem, match=problem) as caught:
        read_profiles(put(path, text))
    assert "hunter2" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_paths_of_a_file_written_by_hand_start_from_home_or_its_folder(path: Path) -> None:
    put(path, "[profiles.a]\nca = '~/ca'\ncert = 'me.crt'\nkey = '/k'\naddress = 'h:1'")
    assert read_profiles(path).get("a") == {
        "address": "h:1",
        "ca": os.path.expanduser("~/ca"),
        "cert": str(path.parent / "me.crt"),
        "key": "/k",
    }


@pytest.mark.parametrize("name", ["", "none", "a b", "-a", "a.b", "ü", "a" * 65, "a\n", "\u202e"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(ProfileProblem, match="name"):
        Profiles().with_profile(name, {})


def test_a_removed_profile_is_not_used_any_more() -> None:
    profiles = Profiles({"a": {}, "b": {}}, "a")
    assert profiles.without("a") == Profiles({"b": {}}, "")
    assert profiles.without("b") == Profiles({"a": {}}, "a")


def test_a_failed_write_leaves_the_file_of_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_profiles(path, Profiles({"a": {}}))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProfileProblem, match="No space left"):
        write_profiles(path, Profiles({"b": {}}))
    assert read_profiles(path) == Profiles({"a": {}})
    assert os.listdir(path.parent) == [path.name]


def test_a_link_is_followed(tmp_path: Path, path: Path) -> None:
    real = put(tmp_path / "dotfiles.toml", "")
    path.symlink_to(real)
    write_profiles(path, Profiles({"a": {}}))
    assert path.is_symlink()
    assert read_profiles(real) == Profiles({"a": {}})


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "config" / "extaudit" / "profiles.toml"
    with changing(path):
        write_profiles(path, Profiles())
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
