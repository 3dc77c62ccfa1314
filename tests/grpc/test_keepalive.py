"""Clients ping often enough to notice within a minute that nothing answers, and not too often for our servers."""

from __future__ import annotations

from pathlib import Path

from extaudit_client import Connection

from server.grpc_api.server import Limits, _options


def test_pings_are_due_within_a_minute_and_the_service_takes_them_so_often() -> None:
    client = dict(Connection("localhost:1", Path("ca"))._options())
    time, timeout = int(client["grpc.keepalive_time_ms"]), int(client["grpc.keepalive_timeout_ms"])
    assert time + timeout <= 60_000
    assert dict(_options(Limits()))["grpc.http2.min_ping_interval_without_data_ms"] <= time
