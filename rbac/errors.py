"""What is wrong with a set of role files."""

from __future__ import annotations


class Refusal(Exception):
    """Something at one place of a file; whoever knows the file's name turns it into a PolicyError.

    `line` and `column` count from 1; 0 where it isn't at one.
    """

    def __init__(self, line: int, reason: str, column: int = 0) -> None:
        super().__init__(reason)
        self.line = line
        self.column = column
        self.reason = reason


class PolicyError(Exception):
    """A set of role files is refused as a whole; the policy in use stays.

    `file` is a base name, never a path. `line` and `column` count from 1; 0 where the file or the line as such is
    refused. `reason` is in our own words and quotes at most a few characters of the file.
    """

    def __init__(self, file: str, line: int, reason: str, column: int = 0) -> None:
        place = ":".join(str(number) for number in (line, column) if number)
        super().__init__(f"{file}:{place}: {reason}" if place else f"{file}: {reason}")
        self.file = file
        self.line = line
        self.column = column
        self.reason = reason


class PolicyUnreadable(PolicyError):
    """A file or folder couldn't be read: worth another try, even if nothing about it changes."""
