"""A stream that brings more than the journal holds is slowed down to the pace of deliveries, and nothing is refused."""

from __future__ import annotations

from pathlib import Path

from extaudit_client import Client
from extaudit_client.files import find_connection
from extaudit_client.stream import Retries

from server.config import JournalSection
from tests.running_app import running_app

MIB = 1024 * 1024
EVENTS = 3_000


def test_a_stream_larger_than_the_journal_is_taken_without_a_single_refusal(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    journal = JournalSection(quota_bytes=8 * MIB, cut_bytes=MIB)
    payload = b"x" * 10_000
    with (
        running_app(data_dir, journal=journal),
        Client(find_connection({}, data_dir), retries=Retries(attempts=0)) as client,
    ):
        events = (b'{"event":"a","uid":"u-%d","x":"%b"}' % (number, payload) for number in range(EVENTS))
        taken = sum(last - first + 1 for ack in client.emit_stream(events) for first, last in ack.sequences)
    assert taken == EVENTS
