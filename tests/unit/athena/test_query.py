"""A query: begun once whatever is lost, asked about less and less often, within its caller's time."""

from __future__ import annotations

import pytest

from server.storage.aws.athena.query import LONGEST_QUERY, AthenaQuery
from server.storage.aws.errors import AwsError
from server.storage.finding import FinderFailed
from server.storage.ports import ScanTimeout
from tests.unit.athena.fake_athena import DENIED, THROTTLED, FakeAthena, FakeClock


def run(athena: FakeAthena, clock: FakeClock, seconds: float = 60.0) -> AthenaQuery:
    query = AthenaQuery(athena.question("SELECT ?", ("'x'",)), clock, clock.pause)
    query.start(clock.now + seconds)
    query.wait(clock.now + seconds)
    return query


def test_pauses_grow_from_a_tenth_of_a_second_to_two() -> None:
    clock = FakeClock()
    run(FakeAthena(states=["QUEUED", *["RUNNING"] * 12, "SUCCEEDED"]), clock)
    assert clock.pauses[0] == 0.1
    assert clock.pauses == sorted(clock.pauses)
    assert clock.pauses[-1] == 2.0
    assert clock.pauses[5] == pytest.approx(0.1 * 1.5**5)


def test_a_start_whose_answer_is_lost_is_repeated_as_the_same_query() -> None:
    athena = FakeAthena(start_errors=[THROTTLED, THROTTLED])
    query = run(athena, FakeClock())
    assert len({each["ClientRequestToken"] for each in athena.started}) == 1
    assert 32 <= len(athena.started[0]["ClientRequestToken"]) <= 128
    first = athena.started[0]
    assert (first["WorkGroup"], first["ExecutionParameters"]) == ("group", ["'x'"])
    assert first["ResultConfiguration"] == {"OutputLocation": "s3://results/x", "ExpectedBucketOwner": "123456789012"}
    assert query.requests == len(athena.calls) == 4


def test_another_query_has_another_token() -> None:
    athena = FakeAthena()
    run(athena, FakeClock())
    run(athena, FakeClock())
    assert len({each["ClientRequestToken"] for each in athena.started}) == 2


def test_a_query_without_parameters_sends_none() -> None:
    athena = FakeAthena()
    AthenaQuery(athena.question()).start(0)
    assert "ExecutionParameters" not in athena.started[0]


@pytest.mark.parametrize(
    ("athena", "words"),
    [
        (FakeAthena(start_errors=[DENIED]), "AWS did not allow it"),
        (FakeAthena(states=[DENIED]), "AWS did not allow it"),
        (FakeAthena(["FAILED"], reason="SYNTAX_ERROR: line 1:1: secret"), r"Athena's query failed \(SYNTAX_ERROR\)$"),
        (FakeAthena(["FAILED"], reason="something secret"), "Athena's query failed$"),
        (FakeAthena(["CANCELLED"]), "Athena's query was cancelled$"),
        (FakeAthena(["CANCELLED"], reason="Bytes scanned limit was exceeded"), "more than its workgroup allows"),
    ],
)
def test_a_failure_is_told_in_our_own_words(athena: FakeAthena, words: str) -> None:
    with pytest.raises(FinderFailed, match=words) as failed:
        run(athena, FakeClock())
    assert "secret" not in str(failed.value)


def test_throttled_looks_go_on() -> None:
    assert run(FakeAthena(states=[THROTTLED, THROTTLED, "SUCCEEDED"]), FakeClock()).bytes == 7


@pytest.mark.parametrize(
    "athena", [FakeAthena(["RUNNING"]), FakeAthena([THROTTLED]), FakeAthena(start_errors=[THROTTLED] * 100)]
)
def test_the_deadline_ends_the_waiting(athena: FakeAthena) -> None:
    clock = FakeClock()
    with pytest.raises(ScanTimeout):
        run(athena, clock, 5.0)
    assert 1005.0 <= clock.now <= 1010.0


def test_results_come_page_after_page_with_the_header_left_out() -> None:
    athena = FakeAthena(rows=[["1", "x"], ["2", None], ["3", "z"]], page=2, result_errors=[THROTTLED])
    query = run(athena, FakeClock())
    assert query.rows(2000.0) == [["1", "x"], ["2", ""], ["3", "z"]]
    assert athena.calls.count("results") == 3


@pytest.mark.parametrize(
    "athena",
    [FakeAthena(header=("a", "other")), FakeAthena(header=()), FakeAthena(rows=[["1", "2", "3"]])],
)
def test_a_result_of_another_shape_is_no_answer(athena: FakeAthena) -> None:
    with pytest.raises(FinderFailed, match="isn't one of this query"):
        run(athena, FakeClock()).rows(2000.0)


def test_results_that_cant_be_read_are_told_and_time_counts_there_too() -> None:
    with pytest.raises(FinderFailed):
        run(FakeAthena(result_errors=[DENIED]), FakeClock()).rows(2000.0)
    with pytest.raises(ScanTimeout):
        run(FakeAthena(), FakeClock()).rows(0.0)


@pytest.mark.parametrize("state", ["RUNNING", DENIED])
def test_an_unwanted_query_is_waited_for_until_it_must_have_ended(state: str | AwsError) -> None:
    clock = FakeClock()
    query = AthenaQuery(FakeAthena([state]).question(), clock, clock.pause)
    query.start(2000.0)
    query.wait_unwanted(lambda: False)
    assert clock.now >= 1000.0 + LONGEST_QUERY


def test_an_unwanted_query_that_ends_is_let_go_with_its_bytes() -> None:
    clock = FakeClock()
    query = AthenaQuery(FakeAthena(["RUNNING", DENIED, "CANCELLED"]).question(), clock, clock.pause)
    query.start(2000.0)
    query.wait_unwanted(lambda: False)
    assert (clock.now < 1010, query.bytes, query.ended) == (True, 7, True)
