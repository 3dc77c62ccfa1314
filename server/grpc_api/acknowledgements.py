"""From acknowledgements to the messages that carry them."""

from __future__ import annotations

from collections.abc import Sequence

from extaudit.v1 import audit_log_service_pb2 as pb

from server.audit_log.receipts import Acknowledgement, BatchAcknowledgement


def emit_response(ack: Acknowledgement) -> pb.EmitEventResponse:
    """The answer to EmitEvent."""
    return pb.EmitEventResponse(
        uid=ack.uid,
        storage=ack.storage,
        log_id=ack.log_id,
        sequence=ack.sequence,
        repeated=ack.repeated,
        uid_reused=ack.uid_reused,
    )


def emits_response(acknowledged: Sequence[tuple[int, BatchAcknowledgement]]) -> pb.EmitEventsResponse:
    """One answer for these messages, given by number and in order; all of them, and all before, are durable."""
    answer = pb.EmitEventsResponse(durable_through=acknowledged[-1][0])
    for number, ack in acknowledged:
        _fill(answer.messages.add(message_number=number, storage=ack.storage, log_id=ack.log_id), ack)
    return answer


def _fill(message: pb.MessageAcknowledgement, ack: BatchAcknowledgement) -> None:
    for first, last in ack.sequences:
        message.sequences.add(first=first, last=last)
    for index, uid in ack.assigned_uids:
        message.assigned_uids.add(index=index, uid=uid)
    for index, violations in ack.refused:
        refused = message.refused.add(index=index)
        for violation in violations:
            refused.violations.add(field=violation.field, description=violation.description)
    for index, storage, log_id, sequence in ack.repeated:
        message.repeated.add(index=index, storage=storage, log_id=log_id, sequence=sequence)
    if ack.uid_reused:
        message.uid_reused.extend(ack.uid_reused)
