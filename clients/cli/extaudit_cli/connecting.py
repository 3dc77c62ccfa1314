"""Options of commands that talk to a server, and how its errors become one line."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from extaudit_cli.text import visible

if TYPE_CHECKING:
    from extaudit_client import ExtauditError

_FILE = click.Path(path_type=Path)

_OPTIONS = [
    click.option("--address", metavar="HOST:PORT", help="Where the service is. [env: EXTAUDIT_ADDRESS]"),
    click.option("--ca", type=_FILE, help="CA of the server's certificate, PEM. [env: EXTAUDIT_CA]"),
    click.option("--cert", type=_FILE, help="Your certificate, PEM. [env: EXTAUDIT_CERT]"),
    click.option("--key", type=_FILE, help="Its private key, PEM. [env: EXTAUDIT_KEY]"),
    click.option(
        "--token-file",
        type=_FILE,
        help="File with a bearer token, in place of a certificate; read for every call. [env: EXTAUDIT_TOKEN_FILE]",
    ),
    click.option(
        "--data-dir",
        type=_FILE,
        default=Path("data"),
        envvar="EXTAUDIT_DATA_DIR",
        show_default=True,
        show_envvar=True,
        help="Where ready.json and identity/ are looked for, for what isn't given above.",
    ),
    click.option("--server-name", default="", help="Name in the server's certificate, if it isn't the address's host."),
]


def connected(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the connection's options and call the command with a Client before its own options."""

    @functools.wraps(command)
    def call(*, data_dir: Path, **options: Any) -> Any:
        # The C library would print its own lines about failed handshakes beside ours.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        from extaudit_client import Client
        from extaudit_client.files import find_connection

        given = {name: options.pop(name) for name in ("address", "ca", "cert", "key", "server_name", "token_file")}
        with failures(), Client(find_connection(os.environ, data_dir, **given)) as client:
            return command(client, **options)

    for option in reversed(_OPTIONS):
        call = option(call)
    return call


@contextmanager
def failures() -> Iterator[None]:
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
    if error.retry_after is not None:
        text += f"; try again in {error.retry_after:g} s"
    return visible(text)
