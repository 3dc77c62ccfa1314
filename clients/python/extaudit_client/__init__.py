"""Python client of extaudit: emit audit events, find them again, and ask how the service is."""

from extaudit_client.client import Client
from extaudit_client.connection import Connection
from extaudit_client.emitting import Acknowledgement, EmittedEvent, Refusal, Repetition
from extaudit_client.errors import ConnectionFailed, ExtauditError, IncompleteAnswer, Violation
from extaudit_client.rows import EventRow, Identity, Position, Receipt
from extaudit_client.searches import FieldEquality, MissingPart, Page, Query, SearchCost, Watermark
from extaudit_client.statuses import Status

__all__ = [
    "Acknowledgement",
    "Client",
    "Connection",
    "ConnectionFailed",
    "EmittedEvent",
    "EventRow",
    "ExtauditError",
    "FieldEquality",
    "Identity",
    "IncompleteAnswer",
    "MissingPart",
    "Page",
    "Position",
    "Query",
    "Receipt",
    "Refusal",
    "Repetition",
    "SearchCost",
    "Status",
    "Violation",
    "Watermark",
]
