"""What shells differ in when they ask for completion of `--option=value`."""

from __future__ import annotations

from typing import Any

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)


class _Bash(BashComplete):
    def get_completion_args(self) -> tuple[list[str], str]:
        """Give the words before the incomplete one, and it. Bash makes three words of `--output=js`."""
        words, incomplete = super().get_completion_args()
        return (words[:-1] if words[-1:] == ["="] else words), incomplete


class _WholeWords(ShellComplete):
    """For shells that put what we give in place of the whole word `--output=js`, not of what stands after the `=`."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        """Give values with the option before them."""
        items = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        if not equals or not option.startswith("--"):
            return items
        return [CompletionItem(f"{option}={item.value}", item.type, item.help) for item in items]


class _Zsh(_WholeWords, ZshComplete):
    pass


class _Fish(_WholeWords, FishComplete):
    pass


def prepare_completion() -> None:
    """Have completion do as this module says."""
    for shell in (_Bash, _Zsh, _Fish):
        add_completion_class(shell)
