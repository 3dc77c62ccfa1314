"""The command `extaudit completion`: scripts that have a shell complete commands, options and values."""

from __future__ import annotations

import click

from extaudit_cli.commands import Command
from extaudit_cli.main import COMPLETE_VARIABLE, PROGRAM
from extaudit_cli.output import output_option, write_json

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit completion bash > ~/.local/share/bash-completion/completions/extaudit
  extaudit completion zsh > ~/.zfunc/_extaudit
  extaudit completion fish > ~/.config/fish/completions/extaudit.fish
  source <(extaudit completion bash)

Bash needs version 4.4 and looks into that folder where bash-completion is installed; zsh needs `fpath+=~/.zfunc` before
`compinit` in ~/.zshrc. Names of profiles and roles and types of events are completed too; no server is
asked.""",
)
@click.argument("shell", type=click.Choice(_SHELLS))
@output_option
def command(shell: str, output: str) -> None:
    """Print a shell's completion script."""
    from click.shell_completion import get_completion_class

    context = click.get_current_context()
    found = get_completion_class(shell)
    if found is None:
        raise click.ClickException(f"no script is known for {shell}")
    script = found(context.find_root().command, {}, PROGRAM, COMPLETE_VARIABLE).source()
    if output == "table":
        click.echo(script, nl=False)
    else:
        write_json({"shell": shell, "script": script}, indent=2 if output == "json" else None)
