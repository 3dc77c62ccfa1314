"""Events of a recording as commands read them, with what couldn't be read told at the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from extaudit_cli.text import count_text, visible

if TYPE_CHECKING:
    from extaudit_client import Client, RecordedEvent

_INCOMPLETE: Final = 3
_TOLD: Final = 20
"""Places that are told one by one; the others are counted."""


class RecordedEvents:
    """The events of one recording; each time anew."""

    def __init__(self, client: Client, session: str, upload_id: str) -> None:
        self._client = client
        self._session = session
        self._upload_id = upload_id
        self._unread: list[str] = []
        self._damages = 0

    def __iter__(self) -> Iterator[RecordedEvent]:
        """Read them from the service."""
        from extaudit_client import RecordedEvent, RecordingDamage

        self._unread, self._damages = [], 0
        for item in self._client.recordings.events(self._session, self._upload_id):
            if isinstance(item, RecordedEvent):
                yield item
            elif isinstance(item, RecordingDamage):
                self._damages += 1
                if len(self._unread) < _TOLD:
                    what = "encrypted" if item.encrypted else item.reason
                    self._unread.append(f"part {item.part}, byte {item.offset}: {what}")

    def tell(self) -> int:
        """Tell what couldn't be read; gives the exit code."""
        for unread in self._unread:
            click.echo(visible(f"not read: {unread}"), err=True)
        if self._damages > len(self._unread):
            more = count_text(self._damages - len(self._unread), "more place")
            click.echo(f"not read: {more}", err=True)
        return _INCOMPLETE if self._damages else 0
