"""What is asked of events, as watching and exporting ask for it."""

from __future__ import annotations

from extaudit.v1 import event_pb2
from extaudit.v1 import event_query_pb2 as query_pb

from extaudit_client import names
from extaudit_client.searches import Query, field_message, timestamp


def filter_from(query: Query) -> query_pb.EventFilter:
    """Write the filters of a query as a message; its order, engine, storage, page size and watermark are no filters.

    Raises:
        ValueError: an emitter kind has no such name, or a time has no zone.
    """
    message = query_pb.EventFilter(
        types=query.types,
        users=query.users,
        session_id=query.session_id,
        uids=query.uids,
        text=query.text,
        fields=[field_message(equality) for equality in query.fields],
        emitters=query.emitters,
    )
    message.emitter_kinds.extend(
        event_pb2.IdentityKind.ValueType(names.value_of(kind, names.IDENTITY_KINDS)) for kind in query.emitter_kinds
    )
    if query.from_time is not None:
        message.from_time.CopyFrom(timestamp(query.from_time))
    if query.to_time is not None:
        message.to_time.CopyFrom(timestamp(query.to_time))
    return message
