"""The command `extaudit doctor`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from extaudit_cli.commands import Command
from extaudit_cli.doctor_report import Header, print_report
from extaudit_cli.output import output_option
from extaudit_cli.transfers import meter

if TYPE_CHECKING:
    from server.doctor.report import Examination

_INCOMPLETE = 3
_FILE = click.Path(path_type=Path)


class _CheckName(click.ParamType[str]):
    """The name of a check; the table of them is loaded only for this."""

    name = "check"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from server.doctor.checks import LOCAL_CHECKS

        names = [check.name for check in LOCAL_CHECKS]
        if value not in names:
            self.fail(f"there is no check {value!r}; there are {', '.join(names)}", param, ctx)
        return str(value)


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit doctor --data-dir data
  extaudit doctor --check certificates --check disk
  extaudit doctor --deep --output json > evidence.json

Every finding has a stable name and says what to do; docs/doctor.md lists all. Nothing is changed, and a server may run.
Exit codes: 0 no error was found (there may be warnings), 1 an error was found, 3 a check couldn't be made.""",
)
@click.option("--config", type=_FILE, envvar="EXTAUDIT_CONFIG", help="The server's configuration file.")
@click.option(
    "--data-dir",
    type=_FILE,
    help="The server's data directory. [env: EXTAUDIT_DATA_DIR] [default: the configuration's, else data]",
)
@click.option(
    "--check", "names", multiple=True, type=_CheckName(), help="Make this check; again for more. [default: all]"
)
@click.option("--deep", is_flag=True, help="Read every object and recording whole and compare its digest.")
@output_option
def command(config: Path | None, data_dir: Path | None, names: tuple[str, ...], deep: bool, output: str) -> int:
    """Look for what is wrong with a service, and say what to do about it."""
    from server.doctor.findings import Severity
    from server.doctor.report import count
    from server.doctor_assembly import data_dir_of

    flags = {"config": config, "data_dir": data_dir}
    header = Header.now(data_dir=data_dir_of(flags, os.environ), deep=deep)
    found = _local(flags, names, deep=deep)
    print_report(header, found, output)
    if count(found, Severity.ERROR):
        return 1
    return _INCOMPLETE if any(each.skipped for each in found) else 0


def _local(flags: dict[str, Path | None], names: tuple[str, ...], *, deep: bool) -> list[Examination]:
    from server.doctor_assembly import examine_data

    with meter() as shown:
        done = 0

        def read(size: int) -> None:
            nonlocal done
            done += size
            shown.show(done)

        return list(examine_data(flags, os.environ, names, deep=deep, read=read))
