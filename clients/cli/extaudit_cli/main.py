"""The entry point: the top command, and how its end becomes an exit code."""

from __future__ import annotations

import io
import os
import sys
from typing import Final

import click
from click.exceptions import NoArgsIsHelpError

from extaudit_cli.colours import Paint
from extaudit_cli.commands import LazyGroup
from extaudit_cli.text import visible

PROGRAM: Final = "extaudit"
_NOT_READ: Final = 141
"""As a shell has it of a program that SIGPIPE ended; nothing is said, as with `| head`."""
COMPLETE_VARIABLE: Final = "_EXTAUDIT_COMPLETE"
"""With it in the environment a shell's completion script asks for words, instead of running a command."""

_COMMANDS = {
    "serve": ("extaudit_cli.serve", "Run the service."),
    "identity": ("extaudit_cli.identity", "Issue, list and renew certificates of a data directory."),
    "roles": ("extaudit_cli.roles", "List the loaded roles, ask what they allow, check files of roles."),
    "storage": ("extaudit_cli.storage", "Set up External Audit Storage: events and recordings in your AWS account."),
    "locks": ("extaudit_cli.locks", "Bar users, components, roles, certificates and tokens."),
    "integrations": (
        "extaudit_cli.integrations",
        "Integrations with AWS, and the keys by which AWS knows the service.",
    ),
    "events": ("extaudit_cli.events", "Emit, search, follow, export and get audit events."),
    "recordings": ("extaudit_cli.recordings", "Upload session recordings, list them, and get them back."),
    "journal": ("extaudit_cli.journal", "End the log of a restored data directory, and begin another."),
    "status": ("extaudit_cli.status", "Show how the service is."),
    "doctor": ("extaudit_cli.doctor", "Look for what is wrong with a service, and say what to do about it."),
    "profile": ("extaudit_cli.profile", "Keep connections under names."),
    "completion": ("extaudit_cli.completion", "Print a shell's completion script."),
}


def _show_version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"{PROGRAM} {version(PROGRAM)}")
        context.exit()


class _Program(LazyGroup):
    def invoke(self, ctx: click.Context) -> object:
        """Run what is called; the framework itself would make a failure of output that nobody reads."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            ctx.exit(_unread())


def _unread() -> int:
    """What read our output has gone: the interpreter must not try to flush into it again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _NOT_READ


@click.group(
    cls=_Program,
    table=_COMMANDS,
    epilog="""\b
Examples:
  extaudit serve --data-dir data
  extaudit events emit --sample
  extaudit events search --from -1h --type user.login
  extaudit status --output json

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the answer is incomplete, 130 stopped, 141 what read the
output has gone (as `| head` does), of which nothing is said.""",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
def command() -> None:
    """Keep audit events and session recordings durably, and find them again."""


def main() -> None:
    """Run the command with the process's arguments and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command; any failure is one line on stderr, never a traceback. Gives the exit code."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if COMPLETE_VARIABLE in os.environ:
        from extaudit_cli.shells import prepare_completion

        prepare_completion()
    try:
        code = command.main(arguments, prog_name=PROGRAM, complete_var=COMPLETE_VARIABLE, standalone_mode=False)
        sys.stdout.flush()
    except NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        _tell(_one_line(error))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        return _unread()
    except UnicodeEncodeError as error:
        _tell(f"what isn't UTF-8 can't be asked for: {visible(error.object[:80])}")
        return 2
    except Exception as error:  # the last resort: a person gets a line, not a traceback
        if COMPLETE_VARIABLE in os.environ:
            return 1  # a line of ours would land in what is being typed
        _tell(visible(_fault(error)))
        return 1
    return code if isinstance(code, int) else 0


def _open_closed_streams() -> None:
    """Where the process was begun without stdin or stdout, have what needs it fail as a read or write of it.

    Python has None in their places, and every library would have to ask for it.
    """
    if sys.stdin is None:
        sys.stdin = open(os.open(os.devnull, os.O_WRONLY))  # noqa: SIM115 -- it stays open as long as the process is there
    if sys.stdout is None:
        # Unbuffered, so that nothing is left for the interpreter to write at its end.
        sys.stdout = io.TextIOWrapper(io.FileIO(os.open(os.devnull, os.O_RDONLY), "w"), write_through=True)


def _fault(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'reading or writing failed'}: {error.strerror}"
    return f"unexpected fault ({type(error).__name__}): {error}"


def _tell(text: str) -> None:
    paint = Paint.for_stream(sys.stderr)
    paint.echo(f"{paint('Error:', 'bad')} {text}", err=True)


def _one_line(error: click.ClickException) -> str:
    text = visible(" ".join(error.format_message().split("\n")))
    if isinstance(error, click.UsageError) and error.ctx is not None:
        text = f"{text.rstrip('.')} (see: {error.ctx.command_path} --help)"
    return text
