"""What the console blocks of a page mean."""

from __future__ import annotations

import pytest

from tests.docs.console_blocks import Command, Directive, differs, shown, steps

PAGE = """Text.

```console
$ echo one \\
  two
one two
$ cat <<'END'
three
END
three
$ true
```

<!-- test: serve other -->

```
$ not run
```
"""


def test_commands_go_on_behind_a_backslash_and_only_console_blocks_are_run() -> None:
    assert list(steps(PAGE)) == [
        Command(4, "echo one \\\n  two", ("one two",)),
        Command(7, "cat <<'END'\nthree\nEND", ("three",)),
        Command(11, "true", ()),
        Directive(14, ("serve", "other")),
    ]


def test_what_other_blocks_show_is_found_by_their_language() -> None:
    assert shown(PAGE, "") == ["$ not run\n"]
    assert shown("```toml\na = 1\n```\n```\nb\n```\n", "toml", "") == ["a = 1\n", "b\n"]


def test_a_block_without_a_command_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with a command"):
        list(steps("```console\nprinted\n```\n"))


@pytest.mark.parametrize(
    ("expected", "printed", "is_same"),
    [
        ((), "anything", True),
        (("a.c",), "a.c\n", True),
        (("a.c",), "abc\n", False),
        (("a … c",), "a b c\n", True),
        (("a … c",), "a b\nc\n", False),
        (("a", "…", "z"), "a\nz\n", True),
        (("a", "…", "z"), "a\nb\nc\nz\n", True),
        (("a", "…"), "b\na\n", False),
        (("a",), "a  \nb\n", False),
        (("a",), "a  \n", True),
        (("a",), "", False),
        (("A   B", "a   …"), "A       B\na       b\n", True),
        (("A B",), "A  B\n", False),
        (("  a",), "a\n", False),
    ],
)
def test_what_is_printed_is_compared_line_by_line(expected: tuple[str, ...], printed: str, is_same: bool) -> None:
    assert (differs(expected, printed) == "") is is_same
