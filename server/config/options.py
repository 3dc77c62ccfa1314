"""The settings as flags of the command line."""

from __future__ import annotations

from dataclasses import dataclass

from server.config.settings import settings


@dataclass(frozen=True, slots=True)
class Option:
    """A flag of `extaudit serve`."""

    name: str
    """With its dashes: `--grpc-listen`."""
    key: str
    """Its name among the flags that `load_config` takes: `grpc_listen`."""
    type: type[str] | type[int] | type[float]
    """What one value is meant to be, for help; `load_config` reads it from its text, and tells what is wrong."""
    help: str
    default: str
    """The default in words, for help only: a flag that isn't given must be None or absent, so that weaker sources
    count."""
    multiple: bool = False


def options() -> list[Option]:
    """The flags, `--config` first."""
    config = Option("--config", "config", str, "TOML file with settings; environment and flags go before it.", "none")
    return [config, *(Option(s.flag, s.key, s.type, s.help, s.default_shown, s.multiple) for s in settings())]
