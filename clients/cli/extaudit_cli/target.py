"""Which service a command talks to and as whom: flags, profile, environment and defaults, settled in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extaudit_cli.profile_file import NONE, PATHS, profiles_path, read_profiles

SETTINGS: Final = ("address", "ca", "cert", "key", "token_file", "data_dir")
"""What connects; each has a flag, a variable `EXTAUDIT_…` and a key of profiles, of the same name."""
DEFAULT_DATA_DIR: Final = "data"

ORDER: Final = """\
Where address and files come from, the first that has one: its flag; the profile named by --profile; its variable
(EXTAUDIT_ADDRESS, EXTAUDIT_CA, EXTAUDIT_CERT, EXTAUDIT_KEY, EXTAUDIT_TOKEN_FILE, EXTAUDIT_DATA_DIR); the profile named
by EXTAUDIT_PROFILE, else the one chosen with `extaudit profile use`; ready.json of a service that runs in the data
directory; identity/ there and 127.0.0.1:9443. A certificate with its key, or a token file, whichever comes first.
Where a data directory is given and no address, a service must run on it: 127.0.0.1:9443 is for the default one alone.
The flag --data-dir means the service of that folder: no variable is used beside it, and no profile unless --profile
names one; nor is a variable beside a profile that --profile names and that has a data directory."""


@dataclass(frozen=True, slots=True)
class Target:
    """Settled settings by name, before the data directory is looked into; `profile` is '' where none was used."""

    settings: Mapping[str, str]
    profile: str = ""
    output: str = ""
    """The profile's form of output, '' where it says none."""

    @property
    def data_dir(self) -> Path:
        """Where ready.json and identity/ are looked for."""
        return Path(self.settings.get("data_dir") or DEFAULT_DATA_DIR)

    def given(self) -> dict[str, str | Path]:
        """The other settings as the client takes them."""
        return {
            name: Path(value) if name in PATHS else value for name, value in self.settings.items() if name != "data_dir"
        }


def find_target(flags: Mapping[str, str | None], profile_flag: str | None, environment: Mapping[str, str]) -> Target:
    """Settle what a command talks to, in the order that ORDER says.

    Raises:
        ProfileProblem: the file of profiles can't be used, or there is no such profile. Without a file nothing is wrong
            as long as none is named.
    """
    named = profile_flag or environment.get("EXTAUDIT_PROFILE") or ""
    values: Mapping[str, str] = {}
    if not profile_flag and flags.get("data_dir"):
        named = NONE
    if named != NONE:
        profiles = read_profiles(profiles_path(environment))
        named = named or profiles.use
        values = profiles.get(named) if named else {}
    variables = {name: environment.get(f"EXTAUDIT_{name.upper()}") or "" for name in SETTINGS}
    layers = [flags, values, variables] if profile_flag else [flags, variables, values]
    if flags.get("data_dir") or (profile_flag and values.get("data_dir")):
        layers.remove(variables)  # which may name another service than the one that was asked for by name
    return Target(_settle(layers), "" if named == NONE else named, values.get("output", ""))


def _settle(layers: Sequence[Mapping[str, str | None]]) -> dict[str, str]:
    """The strongest layer that has a setting gives it; the one that has a certificate or a token gives which it is."""
    settled: dict[str, str] = {}
    shut: set[str] = set()
    for layer in layers:
        found = {name: value for name in SETTINGS if (value := layer.get(name)) and name not in settled.keys() | shut}
        if "token_file" in found:
            shut |= {"cert", "key"}
        if "cert" in found or "key" in found:
            shut.add("token_file")
        settled |= found
    return settled
