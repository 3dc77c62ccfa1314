"""What the service and its page process say to each other, over a socket that only they have.

Pickled: both are the same code, and what one end can make the other do it could do itself.
"""

from __future__ import annotations

import mmap
import os
import pickle
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from server.audit_log.batch_decoding import Numbers
from server.audit_log.batch_record import ReceiptTable
from server.audit_log.search.page_making import PageBounds, RunPage
from server.audit_log.search.pages_ahead import Asked
from server.state.catalogue_rows import CatalogueObject

READY: Final = "ready"
"""The first thing that the process says."""
REFUSED: Final = "refused"
"""The run can't be made by columns."""
_LENGTH: Final = struct.Struct("<I")


class RunRequest(NamedTuple):
    """A run of at most `most` pages, of objects that the process reads where they are; see PageMaker."""

    asked: Asked
    most: int
    has_others: bool
    bounds: PageBounds
    paths: Mapping[str, str]
    """By key of each object."""
    receipts: Mapping[str, ReceiptTable]
    """By key of each object."""
    free: Sequence[int] = ()
    """Numbers of rooms that the service has let go of."""


class RunAnswer(NamedTuple):
    """A run that was made: its pages, the room that its rows are written in, and where each of them ends there."""

    pages: Sequence[RunPage]
    objects: Sequence[CatalogueObject]
    room: int
    ends: Numbers


def send(connection: socket.socket, message: object, descriptor: int | None = None) -> None:
    """Send a message, and what a descriptor leads to with it.

    Raises:
        OSError: the other end is gone.
    """
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    socket.send_fds(connection, [_LENGTH.pack(len(body))], [] if descriptor is None else [descriptor])
    connection.sendall(body)


def receive(connection: socket.socket) -> tuple[Any, mmap.mmap | None]:
    """The next message, and the memory that came with it, to be read.

    Raises:
        EOFError: the other end is gone.
        OSError: it didn't answer in time, or something else failed.
    """
    head, shared, flags, _ = socket.recv_fds(connection, _LENGTH.size, 1)
    try:
        if len(head) < _LENGTH.size:
            raise EOFError
        if flags & socket.MSG_CTRUNC:
            raise OSError("there is no descriptor left for the memory that came")
        (length,) = _LENGTH.unpack(head)
        body = bytearray(length)
        at = 0
        while at < length:
            count = connection.recv_into(memoryview(body)[at:])
            if not count:
                raise EOFError
            at += count
        memory = mmap.mmap(shared[0], 0, prot=mmap.PROT_READ) if shared else None
    finally:
        for each in shared:
            os.close(each)
    return pickle.loads(body), memory  # noqa: S301 -- of this service alone, over a socket without a name
