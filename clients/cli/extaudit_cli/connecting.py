"""Options of commands that talk to a server, and how its errors become one line."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from extaudit_cli.commands import ConnectionOption
from extaudit_cli.needs import need_text
from extaudit_cli.profile_file import ProfileProblem
from extaudit_cli.suggestions import profile_names
from extaudit_cli.target import DEFAULT_DATA_DIR, SETTINGS, Target, find_target
from extaudit_cli.text import visible

if TYPE_CHECKING:
    from extaudit_client import Connection, ExtauditError

_FILE = click.Path(path_type=Path)
_REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "LOCK_HITS_CALLER": "; --force adds it all the same",
        "TEST_NOT_PASSED": "; `extaudit storage test` runs one (for a new role with --stage cluster --role-arn ARN)",
        "ACCOUNT_CHANGED": "; `extaudit storage apply` of the same file makes the draft for that account",
    }
)
"""Reason → what to do, for those that a command can tell more of than the service."""
_NOTHING_KNOWN = (
    f"no service is known here: there is no folder {DEFAULT_DATA_DIR}; give --data-dir of one on this machine, or "
    "--address with --ca, --cert and --key, or keep these under a name (see: extaudit profile --help)"
)


@dataclass(frozen=True, slots=True)
class Reached:
    """What a command talks to, for those that tell of it: the context's `obj`."""

    address: str
    profile: str

    def __str__(self) -> str:
        return f"profile {self.profile}, {self.address}" if self.profile else self.address


_option = functools.partial(click.option, cls=ConnectionOption)

_HELD = (
    ("--address", "Where the service is.", "EXTAUDIT_ADDRESS"),
    ("--ca", "CA of the server's certificate, PEM.", "EXTAUDIT_CA"),
    ("--cert", "Your certificate, PEM.", "EXTAUDIT_CERT"),
    ("--key", "Its private key, PEM.", "EXTAUDIT_KEY"),
    (
        "--token-file",
        "File with a bearer token, in place of a certificate; read for every call.",
        "EXTAUDIT_TOKEN_FILE",
    ),
    (
        "--data-dir",
        "Where ready.json and identity/ are looked for, for what isn't given above.",
        f"EXTAUDIT_DATA_DIR; default: {DEFAULT_DATA_DIR}",
    ),
)


def connection_options(*, variables: bool) -> list[Any]:
    """What a profile can hold, as options. `variables`: their help names the variables that give it, too."""
    return [
        _option(
            flag,
            metavar="HOST:PORT" if flag == "--address" else None,
            type=None if flag == "--address" else _FILE,
            help=f"{meaning} [env: {variable}]" if variables else meaning,
        )
        for flag, meaning, variable in _HELD
    ]


CALL_OPTIONS = [
    _option(
        "--profile",
        "profile_flag",
        metavar="NAME",
        shell_complete=profile_names,
        help="Take these from a profile, `none` for no profile; see `extaudit profile`. [env: EXTAUDIT_PROFILE]",
    ),
    *connection_options(variables=True),
    _option("--server-name", default="", help="Name in the server's certificate, if it isn't the address's host."),
]


def connected(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the connection's options and call the command with a Client before its own options."""

    @functools.wraps(command)
    def call(*, profile_flag: str | None, server_name: str, **options: Any) -> Any:
        flags = {name: None if (value := options.pop(name)) is None else str(value) for name in SETTINGS}
        context = click.get_current_context()
        target = _target(flags, profile_flag)
        if target.output and context.get_parameter_source("output") is ParameterSource.DEFAULT:
            options["output"] = target.output
        # The C library would print its own lines about failed handshakes beside ours.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        from extaudit_client import Client

        with _told(target):
            connection = _connection(target, server_name)
            context.obj = Reached(connection.address, target.profile)
            with Client(connection) as client:
                return command(client, **options)

    for option in reversed(CALL_OPTIONS):
        call = option(call)
    return call


def _target(flags: dict[str, str | None], profile_flag: str | None) -> Target:
    try:
        return find_target(flags, profile_flag, os.environ)
    except ProfileProblem as problem:
        raise click.ClickException(visible(str(problem))) from None


def _connection(target: Target, server_name: str) -> Connection:
    from extaudit_client import ExtauditError
    from extaudit_client.files import find_connection

    if not target.settings and not target.data_dir.exists():
        raise click.ClickException(_NOTHING_KNOWN)
    if "data_dir" in target.settings and "address" not in target.settings:
        _check_served(target.data_dir)
    given: dict[str, Any] = target.given()
    try:
        return find_connection({}, target.data_dir, server_name=server_name, **given)
    except ExtauditError as error:
        if error.code != "INVALID_ARGUMENT":
            raise
        raise click.UsageError(one_line(error), click.get_current_context()) from None


def _check_served(data_dir: Path) -> None:
    """Refuse a folder on which no service runs: what answers at the usual address is another one, which may well know
    this certificate, as the original of a restored backup does.
    """
    from server.data_directory import DataDirectory
    from server.served import is_served

    directory = DataDirectory(data_dir)
    served = is_served(directory)
    if served is not False and directory.ready_file.exists():
        return
    if served:
        problem = f"a service runs on {data_dir}, but there is no ready.json: it isn't ready yet, or keeps it elsewhere"
    else:
        problem = f"no service runs on {data_dir}"
    raise click.ClickException(visible(f"{problem}; give --address if you mean one that runs elsewhere"))


@contextmanager
def _told(target: Target) -> Iterator[None]:
    """Have errors tell the profile and address that were used, where a profile was."""
    try:
        with _failures():
            yield
    except click.UsageError:
        raise
    except click.ClickException as error:
        if not target.profile:
            raise
        reached = click.get_current_context().obj or f"profile {target.profile}"
        raise click.ClickException(f"{error.message} [{visible(str(reached))}]") from None


@contextmanager
def _failures() -> Iterator[None]:
    """Turn the client's errors into one line and exit code 1."""
    from extaudit_client import ExtauditError

    try:
        yield
    except ExtauditError as error:
        raise click.ClickException(one_line(error)) from None


def one_line(error: ExtauditError) -> str:
    """Tell an error in one line."""
    text = "; ".join(f"{v.field}: {v.description}" for v in error.violations) or error.message or error.code
    if error.reason:
        text += f" ({error.reason})"
    if error.reason == "ACCESS_DENIED":
        text += need_text(click.get_current_context().command_path)
    text += _REMEDIES.get(error.reason, "")
    if error.retry_after is not None:
        text += f"; try again in {error.retry_after:g} s"
    return visible(text)
