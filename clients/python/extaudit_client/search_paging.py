"""A search over its pages: what the next one is asked for, and what all of them miss."""

from __future__ import annotations

from dataclasses import replace

from extaudit_client.errors import IncompleteAnswer
from extaudit_client.paging import after
from extaudit_client.searches import MAX_PAGE, MissingPart, Page, Query


class SearchPaging:
    """Goes on to the search's end, or until the pages hold `limit` rows."""

    def __init__(self, query: Query, page_token: str, limit: int | None) -> None:
        self._query = query
        self._limit = limit
        self._given = 0
        self._ended = False
        self.page_token = page_token

    def next(self) -> Query | None:
        """What to ask for with `page_token`; None at the end."""
        if self._ended or (self._limit is not None and self._given >= self._limit):
            return None
        size = self._query.page_size or MAX_PAGE
        return replace(self._query, page_size=size if self._limit is None else min(size, self._limit - self._given))

    def note(self, page: Page) -> None:
        """Take a page that the caller has been given.

        Raises:
            ExtauditError: the service gave the same token twice.
        """
        self._given += len(page.rows)
        self.page_token = after(page, self.page_token, "search")
        self._ended = not self.page_token


class Gaps:
    """What pages miss for good."""

    def __init__(self) -> None:
        self._missing: list[MissingPart] = []
        self._whole = True

    def note(self, page: Page) -> None:
        """Take a page."""
        self._missing += [part for part in page.lasting_gaps if part not in self._missing]  # each page tells it again
        self._whole &= page.whole

    def check(self) -> None:
        """Say so where rows are missing.

        Raises:
            IncompleteAnswer: they are.
        """
        if not self._whole:
            raise IncompleteAnswer(self._missing)
