"""The command `extaudit doctor`."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import CALL_OPTIONS
from extaudit_cli.doctor_report import Header, print_report
from extaudit_cli.output import output_option
from extaudit_cli.profile_file import ProfileProblem
from extaudit_cli.target import SETTINGS, Target, find_target
from extaudit_cli.text import visible
from extaudit_cli.transfers import meter

if TYPE_CHECKING:
    from extaudit_cli.doctor_remote import Service
    from server.doctor.report import Examination

_INCOMPLETE = 3
_FILE = click.Path(path_type=Path)
_NOTHING_KNOWN = "there is nothing to look at: give --data-dir of a service on this machine, --address, or --profile"


class _CheckName(click.ParamType[str]):
    """The name of a check; the tables of them are loaded only for this."""

    name = "check"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        names = [*_local_names(), *_remote_names()]
        if value not in names:
            self.fail(f"there is no check {value!r}; there are {', '.join(names)}", param, ctx)
        return str(value)


def _with_connection(command: Any) -> Any:
    for option in reversed(CALL_OPTIONS):
        command = option(command)
    return command


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit doctor --data-dir data
  extaudit doctor --check certificates --check disk
  extaudit doctor --address audit.example.com:9443
  extaudit doctor --deep --output json > evidence.json

A data directory is looked through, and a service is asked: either, or both, as far as they are known. Every finding has
a stable name and says what to do; docs/doctor.md lists all. Nothing is changed, and a server may run.
Exit codes: 0 no error was found (there may be warnings), 1 an error was found, 3 a check couldn't be made.""",
)
@click.option("--config", type=_FILE, envvar="EXTAUDIT_CONFIG", help="The server's configuration file.")
@click.option(
    "--check", "names", multiple=True, type=_CheckName(), help="Make this check; again for more. [default: all]"
)
@click.option("--deep", is_flag=True, help="Read every object and recording whole and compare its digest.")
@output_option
@_with_connection
def command(
    *,
    config: Path | None,
    names: tuple[str, ...],
    deep: bool,
    output: str,
    profile_flag: str | None,
    server_name: str,
    **given: Path | str | None,
) -> int:
    """Look for what is wrong with a service, and say what to do about it."""
    from server.doctor.findings import Severity
    from server.doctor.report import count
    from server.doctor_assembly import data_dir_of

    target = _target({name: None if given[name] is None else str(given[name]) for name in SETTINGS}, profile_flag)
    flags = {"config": config, "data_dir": target.settings.get("data_dir")}
    folder = data_dir_of(flags, os.environ)
    has_data = bool(config or flags["data_dir"]) or os.path.exists(folder)
    has_service = "address" in target.settings or (has_data and _is_served(folder))
    if not has_data and not has_service:
        raise click.ClickException(_NOTHING_KNOWN)
    found = _local(flags, names or _local_names(), deep=deep) if has_data else []
    address = ""
    if has_service:
        service = _service(target, folder, server_name)
        address = service.connection.address
        found += _remote(service, names or _remote_names())
    print_report(Header.now(data_dir=folder if has_data else None, address=address, deep=deep), found, output)
    if count(found, Severity.ERROR):
        return 1
    return _INCOMPLETE if any(each.skipped for each in found) else 0


def _local_names() -> list[str]:
    from server.doctor.checks import LOCAL_CHECKS

    return [check.name for check in LOCAL_CHECKS]


def _remote_names() -> list[str]:
    from extaudit_cli.doctor_remote import REMOTE_CHECKS

    return [check.name for check in REMOTE_CHECKS]


def _target(flags: Mapping[str, str | None], profile_flag: str | None) -> Target:
    try:
        return find_target(flags, profile_flag, os.environ)
    except ProfileProblem as problem:
        raise click.ClickException(visible(str(problem))) from None


def _is_served(folder: Path) -> bool:
    """Whether a service runs in the folder and has told where."""
    from server.data_directory import DataDirectory
    from server.served import is_served

    return is_served(DataDirectory(folder)) is not False and os.path.exists(DataDirectory(folder).ready_file)


def _local(flags: Mapping[str, object], names: Collection[str], *, deep: bool) -> list[Examination]:
    from server.doctor_assembly import examine_data

    with meter() as shown:
        done = 0

        def read(size: int) -> None:
            nonlocal done
            done += size
            shown.show(done)

        return list(examine_data(flags, os.environ, names, deep=deep, read=read))


def _service(target: Target, folder: Path, server_name: str) -> Service:
    # The C library would print its own lines about failed handshakes beside ours.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from extaudit_client.errors import ExtauditError
    from extaudit_client.files import find_connection

    from extaudit_cli.doctor_remote import Service

    settings: dict[str, Any] = target.given()
    try:
        return Service(find_connection({}, folder, server_name=server_name, **settings))
    except ExtauditError as error:
        raise click.ClickException(visible(error.message)) from None


def _remote(service: Service, names: Collection[str]) -> list[Examination]:
    from extaudit_cli.doctor_remote import REMOTE_CHECKS
    from server.doctor.report import examine

    return [examine(check, service) for check in REMOTE_CHECKS if check.name in names]
