"""From page to page of a list, each asked for with the token of the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from extaudit_client.errors import ExtauditError


class Paged(Protocol):
    """A page."""

    @property
    def next_page_token(self) -> str:
        """The token of the next page; '' after the last one."""
        ...


Page = TypeVar("Page", bound=Paged)


def pages(read: Callable[[str], Page], page_token: str) -> Iterator[Page]:
    """Give every page from the one that a token is of; '' is of the first.

    Raises:
        ExtauditError: the service gave the same token twice.
    """
    while True:
        page = read(page_token)
        yield page
        if not page.next_page_token:
            return
        if page.next_page_token == page_token:
            raise ExtauditError("INTERNAL", "", "the service gave the same page token twice, so the list ends")
        page_token = page.next_page_token
