"""Each metric is counted by the method named for it, and no caller can add labels."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from server.observability.call_metrics import CODES
from server.observability.delivery_metrics import BatchFigures
from server.observability.metrics import Metrics

EMIT = "/extaudit.v1.AuditLogService/EmitEvent"
BATCH = BatchFigures(events=20, size=3_000, encoding_seconds=0.25, seconds=0.75)


def searched(metrics: Metrics, *missing: str) -> None:
    metrics.searches.ended(0.5, objects=3, size=5_000, rows=40, found=2, missing=missing)


def called(code: str, kind: str) -> str:
    return f'extaudit_grpc_calls_total{{code="{code}",kind="{kind}",method="{EMIT}"}}'


def samples(metrics: Metrics) -> dict[str, float]:
    lines = [line for line in metrics.render().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@pytest.mark.parametrize(
    ("do", "sample", "value"),
    [
        (
            lambda m: m.calls.ended(EMIT, "OK", 0.1),
            f'extaudit_grpc_calls_total{{code="OK",kind="none",method="{EMIT}"}}',
            1,
        ),
        (lambda m: m.calls.ended(EMIT, "OK", 0.1), f'extaudit_grpc_call_seconds_count{{method="{EMIT}"}}', 1),
        (lambda m: m.calls.ended(EMIT, "OK", 0.25), f'extaudit_grpc_call_seconds_sum{{method="{EMIT}"}}', 0.25),
        (lambda m: m.calls.denied(EMIT), f'extaudit_denials_total{{method="{EMIT}"}}', 1),
        (lambda m: m.calls.unauthenticated(expired=True), 'extaudit_unauthenticated_calls_total{reason="expired"}', 1),
        (lambda m: m.calls.unauthenticated(expired=False), 'extaudit_unauthenticated_calls_total{reason="other"}', 1),
        (lambda m: m.journal.emitted(accepted=5), 'extaudit_emitted_events_total{outcome="accepted"}', 5),
        (lambda m: m.journal.emitted(repeated=4), 'extaudit_emitted_events_total{outcome="repeated"}', 4),
        (lambda m: m.journal.emitted(refused=3), 'extaudit_emitted_events_total{outcome="refused"}', 3),
        (lambda m: m.journal.emitted(uid_reused=2), 'extaudit_emitted_events_total{outcome="uid_reused"}', 2),
        (lambda m: m.journal.emitted(accepted=5), 'extaudit_emitted_events_total{outcome="refused"}', 0),
        (lambda m: m.journal.committed(7, 0.5, 900), "extaudit_commit_events_sum", 7),
        (lambda m: m.journal.committed(7, 0.5, 900), "extaudit_commit_seconds_sum", 0.5),
        (
            lambda m: m.deliveries.delivered("default", BATCH),
            'extaudit_deliveries_total{outcome="delivered",storage="default"}',
            1,
        ),
        (
            lambda m: m.deliveries.failed("default", "disk"),
            'extaudit_deliveries_total{outcome="failed",storage="default"}',
            1,
        ),
        (
            lambda m: m.deliveries.confirmed("default", 1_500),
            'extaudit_last_delivery_timestamp_seconds{storage="default"}',
            1.5,
        ),
        (lambda m: searched(m), "extaudit_search_seconds_sum", 0.5),
        (lambda m: searched(m), "extaudit_search_objects_sum", 3),
        (lambda m: searched(m), "extaudit_search_incomplete_total", 0),
        (lambda m: searched(m, "TIME_LIMIT", "JOURNAL_HOLE"), "extaudit_search_incomplete_total", 1),
        (lambda m: m.calls.ended(EMIT, "OK", 1, "user"), called("OK", "user"), 1),
        (lambda m: m.calls.ended(EMIT, "CANCELLED", 1, "component"), called("CANCELLED", "component"), 1),
        (lambda m: m.calls.ended(EMIT, "OK", 1, "made up"), called("OK", "none"), 1),
        (
            lambda m: m.calls.ended(EMIT, "X", 1, "user", "RATE_LIMIT"),
            'extaudit_grpc_errors_total{reason="RATE_LIMIT"}',
            1,
        ),
        (lambda m: m.journal.committed(7, 0.5, 900), "extaudit_commit_bytes_sum", 900),
        (lambda m: m.journal.synced(0.25), "extaudit_journal_sync_seconds_sum", 0.25),
        (lambda m: m.deliveries.delivered("default", BATCH), "extaudit_batch_events_sum", 20),
        (lambda m: m.deliveries.delivered("default", BATCH), "extaudit_batch_bytes_sum", 3_000),
        (lambda m: m.deliveries.delivered("default", BATCH), "extaudit_batch_encode_seconds_sum", 0.25),
        (lambda m: m.deliveries.delivered("default", BATCH), "extaudit_delivery_seconds_sum", 0.75),
        (
            lambda m: m.deliveries.failed("default", "disk"),
            'extaudit_delivery_failures_total{reason="disk",storage="default"}',
            1,
        ),
        (searched, "extaudit_search_bytes_sum", 5_000),
        (searched, "extaudit_search_rows_total", 40),
        (searched, "extaudit_search_found_events_total", 2),
        (lambda m: searched(m, "A", "B"), 'extaudit_search_missing_total{reason="B"}', 1),
        (lambda m: m.access.reloaded(loaded=True), 'extaudit_policy_reloads_total{outcome="loaded"}', 1),
        (lambda m: m.access.reloaded(loaded=False), 'extaudit_policy_reloads_total{outcome="failed"}', 1),
        (
            lambda m: m.access.record_certificate("server", 2_500),
            'extaudit_certificate_expiry_timestamp_seconds{use="server"}',
            2.5,
        ),
    ],
)
def test_what_happened_is_counted(do: Callable[[Metrics], None], sample: str, value: float) -> None:
    metrics = Metrics([EMIT])
    do(metrics)
    assert samples(metrics)[sample] == value


def record(metrics: Metrics, holes: int) -> None:
    metrics.journal.record_state(pending_events=1, size=2, oldest_age_seconds=3.5, torn_tail_bytes=4, holes=holes)


def test_the_journal_shows_how_it_is() -> None:
    metrics = Metrics([EMIT])
    record(metrics, 2)
    shown = samples(metrics)
    assert {name: shown[f"extaudit_journal_{name}"] for name in ("pending_events", "bytes", "oldest_age_seconds")} == {
        "pending_events": 1,
        "bytes": 2,
        "oldest_age_seconds": 3.5,
    }
    assert shown["extaudit_journal_torn_tail_bytes"] == 4


def test_holes_count_once_and_what_is_left_of_them_neither_more_nor_less() -> None:
    metrics = Metrics([EMIT])
    counts = []
    for holes in (2, 3, 1):
        record(metrics, holes)
        counts.append(samples(metrics)["extaudit_journal_holes_total"])
    assert counts == [2, 2, 2]


def test_callers_cannot_add_labels() -> None:
    metrics = Metrics([EMIT])
    for number in range(50):
        metrics.calls.ended(f"/made.up/{number}", f"CODE_{number}", 0.1)
        metrics.calls.denied(f"/made.up/{number}")
    shown = samples(metrics)
    assert shown['extaudit_grpc_calls_total{code="UNKNOWN",kind="none",method="other"}'] == 50
    assert shown['extaudit_denials_total{method="other"}'] == 50
    assert "made.up" not in metrics.render().decode()
    assert "CODE_" not in metrics.render().decode()


def test_the_lengths_of_calls_are_counted_up_to_each_bound() -> None:
    metrics = Metrics([EMIT])
    for seconds in (0.0001, 0.001, 0.0011, 7.0, 31.0):
        metrics.calls.ended(EMIT, "OK", seconds)
    shown = samples(metrics)

    def up_to(bound: str) -> float:
        return shown[f'extaudit_grpc_call_seconds_bucket{{le="{bound}",method="{EMIT}"}}']

    assert [up_to(bound) for bound in ("0.0005", "0.001", "0.0025", "5.0", "10.0", "30.0", "+Inf")] == [
        1,
        2,
        3,
        3,
        4,
        4,
        5,
    ]


def test_what_is_counted_is_bounded_by_the_tables() -> None:
    metrics = Metrics([EMIT])
    for number in range(50):
        metrics.calls.ended(f"/made.up/{number}", "OK", 0.1)
        metrics.calls.ended(EMIT, f"CODE_{number}", 0.1)
        metrics.calls.ended(EMIT, "OK", 0.1)
    assert set(metrics.calls._ended) == {("other", "none", "OK"), (EMIT, "none", "UNKNOWN"), (EMIT, "none", "OK")}
    assert set(metrics.calls._lengths) == {"other", EMIT}


def test_codes_are_those_of_grpc() -> None:
    import grpc

    assert {code.name for code in grpc.StatusCode} == CODES


def test_two_services_in_one_process_share_nothing() -> None:
    first, second = Metrics([EMIT]), Metrics([EMIT])
    first.journal.emitted(accepted=1)
    assert samples(second)['extaudit_emitted_events_total{outcome="accepted"}'] == 0


def test_creation_times_are_left_out() -> None:
    metrics = Metrics([EMIT])
    metrics.calls.ended(EMIT, "OK", 0.1)
    assert [name for name in samples(metrics) if "_created" in name] == []


def test_counts_from_several_threads_all_arrive() -> None:
    metrics = Metrics([EMIT])

    def count() -> None:
        for _ in range(500):
            metrics.calls.ended(EMIT, "OK", 0.1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert samples(metrics)[f'extaudit_grpc_calls_total{{code="OK",kind="none",method="{EMIT}"}}'] == 2_000


def test_what_began_and_has_not_ended_is_in_flight() -> None:
    metrics = Metrics([EMIT])
    traffic = metrics.calls.traffic(EMIT)
    traffic.begun += 3
    metrics.calls.ended(EMIT, "CANCELLED", 0.1)
    metrics.calls.ended(EMIT, "OK", 0.1, "user")
    shown = samples(metrics)
    assert shown[f'extaudit_grpc_started_calls_total{{method="{EMIT}"}}'] == 3
    assert shown[f'extaudit_grpc_calls_in_flight{{method="{EMIT}"}}'] == 1


def test_reasons_are_bounded() -> None:
    metrics = Metrics([EMIT])
    for number in range(500):
        metrics.calls.ended(EMIT, "INTERNAL", 0.1, "user", f"REASON_{number}")
    shown = [name for name in samples(metrics) if name.startswith("extaudit_grpc_errors_total")]
    assert len(shown) == 101  # `INTERNAL` is one, though there was none
    assert samples(metrics)['extaudit_grpc_errors_total{reason="other"}'] == 401


def test_problems_are_shown_while_they_last() -> None:
    metrics = Metrics([EMIT])
    metrics.service.record_problems({"journal_full"}, {"journal_full", "disk_floor"}, {"token_keys"})
    shown = samples(metrics)
    assert shown["extaudit_serving"] == 0
    named = {name: value for name, value in shown.items() if name.startswith("extaudit_problem")}
    assert named == {
        'extaudit_problem{name="journal_full"}': 1,
        'extaudit_problem{name="disk_floor"}': 0,
        'extaudit_problem{name="token_keys"}': 1,
    }
    metrics.service.record_problems(set(), {"journal_full"}, set())
    assert samples(metrics)["extaudit_serving"] == 1
    assert 'extaudit_problem{name="token_keys"}' not in samples(metrics)
