"""What is wrong with a set of role files."""

from __future__ import annotations


class Refusal(Exception):
    """Something on one line of a file; whoever knows the file's name turns it into a PolicyError."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


class PolicyError(Exception):
    """A set of role files is refused as a whole; the policy in use stays.

    `file` is a base name, never a path. `line` counts from 1, or is 0 when the file as such is refused.
    `reason` is in our own words and quotes at most a few characters of the file.
    """

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(f"{file}:{line}: {reason}" if line else f"{file}: {reason}")
        self.file = file
        self.line = line
        self.reason = reason


class PolicyUnreadable(PolicyError):
    """A file or folder couldn't be read: worth another try, even if nothing about it changes."""
