"""Events that come by themselves: many callers' events become one submission, and each caller gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import NamedTuple

from server.audit_log.access import Access
from server.audit_log.event_block import EventBlock
from server.audit_log.receipts import Acknowledgement, BatchAcknowledgement


class SingleEvent(NamedTuple):
    """The event of one unary call, not validated yet, and what its caller waits for."""

    access: Access
    payload: bytes
    outcome: asyncio.Future[Acknowledgement]


def shares(block: EventBlock, answer: BatchAcknowledgement) -> Iterator[tuple[int, Acknowledgement]]:
    """The acknowledgement of each event of a submission, with its index in the message.

    Args:
        block: what was submitted.
        answer: what became of it.
    """
    fresh = (sequence for first, last in answer.sequences for sequence in range(first, last + 1))
    repeated = {item[0]: item for item in answer.repeated}
    reused = set(answer.uid_reused)
    for index, uid in block.uids():
        if index in repeated:
            _, storage, log_id, sequence = repeated[index]
            yield index, Acknowledgement(uid, storage, log_id, sequence, repeated=True)
        else:
            sequence = next(fresh)
            yield index, Acknowledgement(uid, answer.storage, answer.log_id, sequence, uid_reused=index in reused)
