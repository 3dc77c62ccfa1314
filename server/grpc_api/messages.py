"""From what use cases answer to response messages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_pb2
from extaudit.v1 import event_query_pb2 as query_pb
from extaudit.v1 import event_watch_pb2 as watch_pb
from google.protobuf.timestamp_pb2 import Timestamp

from server.audit_log.receipts import Emitter, Receipt
from server.audit_log.search.query import FoundEvent, Missing, SearchPage
from server.audit_log.watching.query import Watched
from server.grpc_api.search_requests import ENGINES, KINDS

MAX_OMITTED_USER_CHARACTERS: Final = 1024

_ENGINE_VALUES: Final[Mapping[str, int]] = MappingProxyType({name: value for value, name in ENGINES.items()})
_KIND_VALUES: Final[Mapping[str, int]] = MappingProxyType({kind.value: value for value, kind in KINDS.items()})


_KnownReceipts = dict[tuple[object, ...], event_pb2.Receipt]
"""Receipts as messages, by all that is in them but the sequence: those of a page differ in little else."""


def search_response(page: SearchPage) -> pb.SearchEventsResponse:
    """The answer to SearchEvents."""
    response = search_head(page)
    known: _KnownReceipts = {}
    for found in page.rows:
        # Filled in place: a list of finished rows would be copied with their JSON.
        _fill(response.events.add(), found, found.data or b"", known)
    return response


def search_head(page: SearchPage) -> pb.SearchEventsResponse:
    """The answer to SearchEvents without its events."""
    return pb.SearchEventsResponse(
        next_page_token=page.next_page_token,
        engine=_ENGINE_VALUES[page.engine],  # type: ignore[arg-type]  # enum values are plain numbers when they run
        cost=pb.SearchCost(
            objects=page.cost.objects,
            rows=page.cost.rows,
            bytes=page.cost.bytes,
            journal_events=page.cost.journal_events,
            athena_queries=page.cost.queries,
            athena_bytes=page.cost.query_bytes,
        ),
        watermark=pb.Watermark(logs=page.watermark.logs, catalogue_revision=page.watermark.catalogue_revision),
        complete=page.complete,
        missing=[missing_part(missing) for missing in page.missing],
        query_id=page.query_id,
        engine_reason=page.engine_reason,
    )


def event_row(found: FoundEvent, *, with_json: bool = True) -> event_pb2.EventRow:
    """One event; `with_json` false leaves the JSON out though it is there, as it follows in chunks."""
    row = event_pb2.EventRow()
    _fill(row, found, found.data or b"" if with_json else b"", {})
    return row


def watched_events(events: Sequence[FoundEvent]) -> bytes:
    """The events of an answer to WatchEvents, encoded: the first part of `watch_response`."""
    response = watch_pb.WatchEventsResponse()
    known: _KnownReceipts = {}
    for found in events:
        _fill(response.events.add(), found, found.data or b"", known)
    return response.SerializeToString()


def watch_response(watched: Watched) -> bytes:
    """One answer to WatchEvents, encoded."""
    rest = watch_pb.WatchEventsResponse(
        place=watch_pb.LogPlace(logs=watched.place),
        caught_up=watched.caught_up,
        missing=[missing_part(missing) for missing in watched.missing],
    )
    # Encoded messages that follow each other are one message with the fields of all.
    return watched.encoded + rest.SerializeToString()


def _fill(row: event_pb2.EventRow, found: FoundEvent, json: bytes, known: _KnownReceipts) -> None:
    """Write one event into `row`; the events of a page share `known`."""
    position = found.position
    omitted = found.data is None
    row.json = json
    row.time.seconds = position.time_ms // 1000
    row.time.nanos = position.time_ms % 1000 * 1_000_000
    row.type = found.type
    row.uid = position.uid
    row.session_id = found.session_id
    row.user = found.user[:MAX_OMITTED_USER_CHARACTERS] if omitted else found.user
    row.digest = position.digest
    row.payload_omitted = omitted
    row.payload_size = found.size
    for receipt in found.receipts:
        _fill_receipt(row.receipts.add(), receipt, known)


def _fill_receipt(message: event_pb2.Receipt, receipt: Receipt, known: _KnownReceipts) -> None:
    storage, log_id, sequence, emitter, peer, received_ms, foreign_object = receipt
    key = storage, log_id, emitter, peer, received_ms, foreign_object
    model = known.get(key)
    if model is None:
        model = known[key] = _receipt(receipt)
    message.CopyFrom(model)
    message.sequence = sequence


def _receipt(receipt: Receipt) -> event_pb2.Receipt:
    return event_pb2.Receipt(
        storage=receipt.storage,
        log_id=receipt.log_id,
        sequence=receipt.sequence,
        emitter=identity_message(receipt.emitter) if receipt.emitter else None,
        peer=receipt.peer,
        received_time=timestamp_message(receipt.received_ms) if receipt.received_ms else None,
        foreign_object=receipt.foreign_object,
    )


def identity_message(emitter: Emitter) -> event_pb2.Identity:
    """One identity."""
    return event_pb2.Identity(
        kind=_KIND_VALUES[emitter.kind],  # type: ignore[arg-type]  # enum values are plain numbers when they run
        name=emitter.name,
        trust_anchor=emitter.trust_anchor,
        certificate_serial=emitter.certificate_serial,
        token_id=emitter.token_id,
    )


def caller_message(text: str) -> event_pb2.Identity | None:
    """An identity that the state keeps as `audit_log.access.identity_text` gives it; None where there is none."""
    caller = json.loads(text).get("caller") if text else None
    if not caller:
        return None
    serial, token_id = caller.get("certificate_serial", ""), caller.get("token_id", "")
    return identity_message(Emitter(caller["kind"], caller["name"], caller["trust_anchor"], serial, token_id))


def missing_part(missing: Missing) -> query_pb.MissingPart:
    """One thing that is missing from an answer."""
    return query_pb.MissingPart(
        reason=query_pb.MissingReason.Value(f"MISSING_REASON_{missing.reason.value}"),
        storage=missing.storage,
        name=missing.name,
        first_sequence=missing.first_sequence,
        last_sequence=missing.last_sequence,
        description=missing.description,
    )


def timestamp_message(milliseconds: int) -> Timestamp:
    """A time given in ms since 1970."""
    return Timestamp(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)
