"""Flags go before the profile that a flag names, that before the environment, that before any other profile."""

from __future__ import annotations

from pathlib import Path

import pytest
from extaudit_cli.profile_file import ProfileProblem, Profiles, profiles_path, write_profiles
from extaudit_cli.target import SETTINGS, find_target

CERTIFICATE = ("address", "ca", "cert", "key", "data_dir")
PAIR = {"cert": "/p/cert", "key": "/p/key"}
OF = {
    "flag": {name: f"/flag/{name}" for name in CERTIFICATE if name != "data_dir"},
    "profile": {name: f"/profile/{name}" for name in CERTIFICATE},
    "environment": {f"EXTAUDIT_{name.upper()}": f"/environment/{name}" for name in CERTIFICATE},
}


def home(folder: Path, use: str = "", **named: dict[str, str]) -> dict[str, str]:
    """An environment whose profiles are these."""
    environment = {"XDG_CONFIG_HOME": str(folder)}
    path = profiles_path(environment)
    path.parent.mkdir()
    write_profiles(path, Profiles(named, use))
    return environment


@pytest.mark.parametrize("setting", [name for name in CERTIFICATE if name != "data_dir"])
@pytest.mark.parametrize(
    ("layers", "chosen_by", "winner"),
    [
        (("flag", "profile", "environment"), "flag", "flag"),
        (("flag", "profile", "environment"), "use", "flag"),
        (("profile", "environment"), "flag", "profile"),
        (("profile", "environment"), "variable", "environment"),
        (("profile", "environment"), "use", "environment"),
        (("profile",), "flag", "profile"),
        (("profile",), "variable", "profile"),
        (("profile",), "use", "profile"),
        (("environment",), "none", "environment"),
        (("profile",), "none", None),
    ],
)
def test_the_order_of_sources(
    tmp_path: Path, setting: str, layers: tuple[str, ...], chosen_by: str, winner: str | None
) -> None:
    profile = OF["profile"] if "profile" in layers else {}
    environment = home(tmp_path, "p" if chosen_by in ("use", "none") else "", p=profile)
    if "environment" in layers:
        environment |= OF["environment"]
    if chosen_by == "variable":
        environment["EXTAUDIT_PROFILE"] = "p"
    flags = OF["flag"] if "flag" in layers else {}
    found = find_target(flags, {"flag": "p", "none": "none"}.get(chosen_by), environment)
    assert found.settings.get(setting) == (f"/{winner}/{setting}" if winner else None)
    assert found.profile == ("" if chosen_by == "none" else "p")


@pytest.mark.parametrize(
    ("flag", "variable", "use", "expected"),
    [
        ("a", "b", "c", "a"),
        (None, "b", "c", "b"),
        (None, "", "c", "c"),
        (None, None, "c", "c"),
        ("none", "b", "c", ""),
        (None, "none", "c", ""),
        (None, None, "", ""),
    ],
)
def test_which_profile_is_used(tmp_path: Path, flag: str | None, variable: str | None, use: str, expected: str) -> None:
    environment = home(tmp_path, use, a={"address": "a:1"}, b={"address": "b:1"}, c={"address": "c:1"})
    environment |= {"EXTAUDIT_PROFILE": variable} if variable is not None else {}
    found = find_target({}, flag, environment)
    assert (found.profile, found.settings.get("address", "")) == (expected, expected and f"{expected}:1")


@pytest.mark.parametrize(
    ("flags", "environment", "profile", "expected"),
    [
        ({"token_file": "/f/token"}, {"EXTAUDIT_CERT": "/e/cert"}, PAIR, {"token_file": "/f/token"}),
        (PAIR, {"EXTAUDIT_TOKEN_FILE": "/e/token"}, {}, PAIR),
        ({}, {"EXTAUDIT_TOKEN_FILE": "/e/token"}, PAIR, {"token_file": "/e/token"}),
        ({}, {}, {"token_file": "/p/token"}, {"token_file": "/p/token"}),
        ({"cert": "/f/cert"}, {"EXTAUDIT_KEY": "/e/key"}, PAIR, {"cert": "/f/cert", "key": "/e/key"}),
    ],
)
def test_a_token_or_a_certificate_whichever_comes_first(
    tmp_path: Path,
    flags: dict[str, str],
    environment: dict[str, str],
    profile: dict[str, str],
    expected: dict[str, str],
) -> None:
    found = find_target(flags, None, home(tmp_path, "p", p=profile) | environment)
    assert found.settings == expected


def test_a_token_and_a_certificate_of_one_source_are_left_for_the_client_to_refuse(tmp_path: Path) -> None:
    flags = {"token_file": "/f/token", "cert": "/f/cert"}
    assert find_target(flags, None, home(tmp_path)).settings == flags


def test_a_data_directory_given_by_flag_means_its_own_service(tmp_path: Path) -> None:
    environment = home(tmp_path, "p", p=OF["profile"])
    aside = find_target({"data_dir": "lab"}, None, environment)
    assert (aside.profile, aside.settings, aside.data_dir) == ("", {"data_dir": "lab"}, Path("lab"))
    both = find_target({"data_dir": "lab"}, "p", environment)
    assert (both.profile, both.settings["address"], both.data_dir) == ("p", "/profile/address", Path("lab"))


@pytest.mark.parametrize(
    ("flags", "profile_flag"), [({"data_dir": "/p/lab"}, None), ({}, "lab"), ({"data_dir": "/p/lab"}, "lab")]
)
def test_a_variable_never_sends_what_was_meant_for_a_data_directory_elsewhere(
    tmp_path: Path, flags: dict[str, str], profile_flag: str | None
) -> None:
    """EXTAUDIT_ADDRESS of production is often exported where somebody asks for the lab."""
    environment = home(tmp_path, lab={"data_dir": "/p/lab"}) | OF["environment"]
    environment["EXTAUDIT_TOKEN_FILE"] = "/environment/token"
    assert find_target(flags, profile_flag, environment).settings == {"data_dir": "/p/lab"}


def test_without_anything_the_default_data_directory_is_looked_into(tmp_path: Path) -> None:
    found = find_target(dict.fromkeys(SETTINGS), None, {"XDG_CONFIG_HOME": str(tmp_path)})
    assert (found.settings, found.data_dir, found.profile) == ({}, Path("data"), "")


@pytest.mark.parametrize("flag", ["gone", None])
def test_a_profile_that_is_not_there_is_refused(tmp_path: Path, flag: str | None) -> None:
    environment = home(tmp_path, a={"address": "a:1"}) | {"EXTAUDIT_PROFILE": "gone"}
    with pytest.raises(ProfileProblem, match="no profile 'gone'; there are a"):
        find_target({}, flag, environment)
