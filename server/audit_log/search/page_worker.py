"""What the page process does: it makes runs of pages for the service that began it, until that goes or wants none."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable, Sequence
from math import inf
from typing import Final, TypeAlias

from server.audit_log.batch_codec import BatchColumns
from server.audit_log.batch_record import ReceiptTable
from server.audit_log.columns.layout import Bytes
from server.audit_log.search.decoded_objects import DecodedObjects, OddObject
from server.audit_log.search.merging import Unsuited
from server.audit_log.search.page_columns import PageColumns, WrittenRows
from server.audit_log.search.page_making import PageMaker
from server.audit_log.search.page_messages import READY, REFUSED, RunAnswer, RunRequest, receive, send
from server.audit_log.search.page_rooms import Room, Rooms
from server.state.catalogue_rows import CatalogueObject

Write: TypeAlias = Callable[[PageColumns, Callable[[int], Bytes]], WrittenRows]
"""Writes rows into the room that it asks for."""
_IDLE_SECONDS: Final = 60.0
_DECODED_BYTES: Final = 16 << 20
"""An object's rows usually lie on two runs."""


class _Reading:
    """The objects of one request."""

    def __init__(self, request: RunRequest, decoded: DecodedObjects) -> None:
        self._request = request
        self._decoded = decoded

    def columns(self, item: CatalogueObject, deadline: float) -> BatchColumns:
        return self._decoded.columns(item, self._request.paths[item.key])

    def receipts(self, items: Sequence[CatalogueObject], deadline: float) -> Sequence[ReceiptTable | None]:
        return [self._request.receipts[item.key] for item in items]


def work(connection: socket.socket, write: Write, idle_seconds: float = _IDLE_SECONDS) -> None:
    """Answer requests until the service is gone, or has asked for nothing for a while."""
    decoded, rooms = DecodedObjects(_DECODED_BYTES), Rooms()
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    with contextlib.suppress(EOFError, ConnectionError):
        send(connection, READY)
        while poll.poll(idle_seconds * 1000):
            request, _ = receive(connection)
            rooms.free(request.free)
            _answer(connection, request, decoded, rooms, write)


def _answer(
    connection: socket.socket,
    request: RunRequest,
    decoded: DecodedObjects,
    rooms: Rooms,
    write: Write,
) -> None:
    maker = PageMaker(_Reading(request, decoded), request.bounds)
    try:
        run = maker.run(request.asked, request.most, inf, has_others=request.has_others)
    except (Unsuited, OddObject):
        send(connection, REFUSED)
        return
    if run.without_receipts:
        send(connection, REFUSED)
        return
    taken: list[Room] = []

    def room(size: int) -> Bytes:
        taken.append(rooms.take(size))
        return taken[0].memory[:size]

    rows = run.rows.written(lambda columns: write(columns, room))
    answer = RunAnswer(run.pages, run.objects, taken[0].number, rows.ends)
    send(connection, answer, rooms.to_be_shared(taken[0]))
