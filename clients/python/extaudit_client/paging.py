"""From page to page of a list or a search, each asked for with the token of the one before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from extaudit_client.errors import ExtauditError


class Paged(Protocol):
    """A page."""

    @property
    def next_page_token(self) -> str:
        """The token of the next page; '' after the last one."""
        ...


Page = TypeVar("Page", bound=Paged)
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Listed(Generic[Item]):
    """A page of a list that is given whole, page by page."""

    items: tuple[Item, ...]
    next_page_token: str


def after(page: Paged, page_token: str, what: str = "list") -> str:
    """The token of the next page; '' after the last one.

    Raises:
        ExtauditError: the service gave the same token twice.
    """
    if page.next_page_token and page.next_page_token == page_token:
        raise ExtauditError("INTERNAL", "", f"the service gave the same page token twice, so the {what} ends")
    return page.next_page_token


def pages(read: Callable[[str], Page], page_token: str) -> Iterator[Page]:
    """Give every page from the one that a token is of; '' is of the first.

    Raises:
        ExtauditError: the service gave the same token twice.
    """
    while True:
        page = read(page_token)
        yield page
        page_token = after(page, page_token)
        if not page_token:
            return


async def async_pages(read: Callable[[str], Awaitable[Page]], page_token: str) -> AsyncIterator[Page]:
    """As `pages`, for asyncio."""
    while True:
        page = await read(page_token)
        yield page
        page_token = after(page, page_token)
        if not page_token:
            return
