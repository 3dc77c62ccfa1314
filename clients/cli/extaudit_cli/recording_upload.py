"""The command `extaudit recordings upload`."""

from __future__ import annotations

import os
import stat
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any, BinaryIO

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected, one_line
from extaudit_cli.output import output_option, write_json
from extaudit_cli.recording_rows import print_recording
from extaudit_cli.text import visible
from extaudit_cli.transfers import meter

if TYPE_CHECKING:
    from extaudit_client import Client, Recording, Uploaded


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit recordings upload session.tar --session 0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11
  recorder | extaudit recordings upload - --session 0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11
  extaudit recordings upload session.tar --session 0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11 --upload UPLOAD

A lost connection is taken up again by itself. After an interruption the error names the upload: with --upload the
command goes on where it was, given the same file from its beginning. If only its completion failed, the error has the
command that asks for that again, and nothing need be sent twice. A recording is never replaced: a second, different
one of a session is kept beside the first.""",
)
@click.argument("file", type=click.File("rb"))
@click.option("--session", required=True, metavar="ID", help="The session that is recorded, a UUID in lower case.")
@click.option("--upload", "upload_id", default="", metavar="ID", help="Go on with this upload.")
@click.option("--no-complete", is_flag=True, help="Leave the upload open; `recordings complete` ends it.")
@click.option("--with-sha256", is_flag=True, help="Have the SHA-256 of the whole made and kept too; it takes longer.")
@output_option
@connected
def command(
    client: Client, file: IO[bytes], session: str, upload_id: str, no_complete: bool, with_sha256: bool, output: str
) -> None:
    """Upload a recording from FILE, - for stdin, and complete it."""
    if not upload_id and _is_empty(file):
        raise click.ClickException("there is nothing in the file; no upload was begun")
    uploaded = _upload(client, file, session, upload_id, with_sha256=with_sha256)
    if not no_complete:
        print_recording(*_complete(client, uploaded), output)
    elif output == "table":
        click.echo(visible(f"upload {uploaded.upload_id} is open, with {uploaded.bytes} bytes"))
    else:
        write_json(asdict(uploaded), indent=2 if output == "json" else None)


def _is_empty(file: Any) -> bool:
    """Whether the file, or a pipe that has ended, has no byte: what is begun for it would stay open for ever."""
    try:
        return not file.peek(1)
    except OSError as error:
        raise click.ClickException(f"can't read the file: {error.strerror}") from None


def _upload(client: Client, file: IO[bytes], session: str, upload_id: str, *, with_sha256: bool) -> Uploaded:
    from extaudit_client import ExtauditError

    known = upload_id

    with meter(_size(file)) as shown:

        def progress(upload: str, durable: int) -> None:
            nonlocal known
            known = upload
            shown.show(durable)

        try:
            source: BinaryIO = file  # type: ignore[assignment]  # click's IO
            return client.recordings.upload(source, session, upload_id, progress, with_sha256=with_sha256)
        except ExtauditError as error:
            more = f"; go on with --upload {known}" if known else ""
            raise click.ClickException(one_line(error) + visible(more)) from None
        except OSError as error:
            raise click.ClickException(f"can't read the file: {error.strerror}") from None


def _complete(client: Client, uploaded: Uploaded) -> tuple[Recording, str]:
    from extaudit_client import ConnectionFailed, TimedOut, Unavailable

    try:
        custody, sha256 = uploaded.custody_digest, uploaded.sha256
        return client.recordings.complete(
            uploaded.upload_id, size=uploaded.bytes, custody_digest=custody, sha256=sha256
        )
    except (Unavailable, ConnectionFailed, TimedOut) as error:
        more = f"; the service has all of it, and `extaudit recordings complete {uploaded.upload_id}` asks again"
        raise click.ClickException(one_line(error) + visible(more)) from None


def _size(file: IO[bytes]) -> int | None:
    try:
        found = os.fstat(file.fileno())
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
