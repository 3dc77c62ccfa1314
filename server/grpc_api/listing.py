"""Pages of short lists that are all in memory: a token is a position in the list's order."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from google.protobuf.message import Message

from server.errors import InvalidRequest, Violation

DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 1000
MAX_PAGE_BYTES: Final = 1024 * 1024
"""A page ends here, as a default client takes 4 MiB; the first item is given whatever its size."""
MAX_TOKEN_CHARACTERS: Final = 4096

Item = TypeVar("Item")
Shown = TypeVar("Shown", bound=Message)


def page_violations(page_size: int) -> list[Violation]:
    """What is wrong with a page size."""
    return [] if page_size >= 0 else [Violation("page_size", "must not be negative")]


def page_of(
    items: Iterable[Item], page_size: int, show: Callable[[Item], Shown], token: Callable[[Item], str]
) -> tuple[list[Shown], str]:
    """The first items as messages, and the token of the page after them; '' where nothing follows."""
    shown: list[Shown] = []
    size, next_token = 0, ""
    limit = min(page_size, MAX_PAGE_SIZE) or DEFAULT_PAGE_SIZE
    for item in items:
        message = show(item)
        size += message.ByteSize()
        if len(shown) == limit or (shown and size > MAX_PAGE_BYTES):
            return shown, next_token
        shown.append(message)
        next_token = token(item)
    return shown, ""


def page_token(name: str, position: str) -> str:
    """The token of the page after a position of the list of this name."""
    return base64.urlsafe_b64encode(f"{name}:{position}".encode()).decode()


def position_of(name: str, token: str) -> str:
    """The position in a token; '' for the first page.

    Raises:
        InvalidRequest: it is no token of this list.
    """
    if not token:
        return ""
    try:
        found, _, position = base64.b64decode(token.encode("ascii"), b"-_", validate=True).decode().partition(":")
    except (binascii.Error, UnicodeError):
        found, position = "", ""
    if found != name or not position or len(token) > MAX_TOKEN_CHARACTERS:
        raise InvalidRequest([Violation("page_token", "is not one of this list")], reason="INVALID_PAGE_TOKEN")
    return position
