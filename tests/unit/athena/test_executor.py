"""The queue and its places: each identity in its turn, no more at once than allowed, and unwanted queries count."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from server.storage.aws.athena.budget import ReadBudget
from server.storage.aws.athena.executor import AthenaExecutor, Ended
from server.storage.aws.athena.fair_queue import FairQueue
from server.storage.finding import FinderBusy, FinderFailed
from server.storage.ports import ScanTimeout
from tests.polling import until
from tests.unit.athena.fake_athena import FakeAthena, FakeClock


def test_each_identity_is_served_in_turn() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "a3", "b1", "c1", "b2"):
        queue.put(item[0], item)
    assert [queue.take() for _ in range(6)] == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_who_comes_while_others_have_many_waiting_is_next_but_one_round() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(100):
        queue.put("a", f"a{number}")
    assert queue.take() == "a0"
    queue.put("b", "b0")
    assert [queue.take(), queue.take()] == ["a1", "b0"]


def test_what_nobody_waits_for_is_taken_out() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.put("a", "a1")
    queue.put("a", "a2")
    assert (queue.discard("a", "a1"), queue.discard("a", "a1"), queue.discard("b", "b1")) == (True, False, False)
    assert (len(queue), queue.take(), len(queue)) == (1, "a2", 0)
    queue.put("a", "a3")
    assert queue.close() == ["a3"]
    assert queue.take() is None


@dataclass
class Held:
    """An executor of two places over an Athena whose queries run until they are let go."""

    most: int = 2
    budget: ReadBudget = field(default_factory=lambda: ReadBudget(0, 1.0, time.monotonic))
    ended: list[Ended] = field(default_factory=list)
    athena: FakeAthena = field(default_factory=lambda: FakeAthena(["RUNNING"], rows=[["1", "2"]]))

    def __post_init__(self) -> None:
        self.executor = AthenaExecutor(self.most, self.budget, self.ended.append, pause=lambda _: time.sleep(0.002))

    def run(self, whose: str, seconds: float = 30.0) -> object:
        question = self.athena.question(f"SELECT '{whose}'")
        return self.executor.run(question, whose, time.monotonic() + seconds)

    @property
    def running(self) -> list[str]:
        return [each["QueryString"] for each in self.athena.started]


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.athena.states = ["SUCCEEDED"]
    held.executor.close()


def test_no_more_run_at_once_than_there_are_places(held: Held) -> None:
    with ThreadPoolExecutor(6) as callers:
        answers = [callers.submit(held.run, "a") for _ in range(5)]
        until(lambda: len(held.running) == 2 and held.executor.waiting == 3)
        held.athena.states = ["SUCCEEDED"]
        assert len({str(each.result()) for each in answers}) >= 1
    assert len(held.running) == 5
    until(lambda: len(held.ended) == 5)
    assert [each.how for each in held.ended] == ["succeeded"] * 5


def test_many_of_one_identity_dont_hold_up_anothers_one() -> None:
    held = Held(most=1)
    with ThreadPoolExecutor(6) as callers:
        answers = [callers.submit(held.run, "many") for _ in range(5)]
        until(lambda: len(held.running) == 1 and held.executor.waiting == 4)
        answers.append(callers.submit(held.run, "one"))
        until(lambda: held.executor.waiting == 5)
        held.athena.states = ["SUCCEEDED"]
        for each in answers:
            each.result()
    assert held.running == [f"SELECT '{whose}'" for whose in ("many", "many", "one", "many", "many", "many")]
    held.executor.close()


def test_a_query_that_timed_out_keeps_its_place_until_it_ends(held: Held) -> None:
    with ThreadPoolExecutor(1) as callers:
        while len(held.running) < 2:  # one that waited for nothing but its turn begins none
            with pytest.raises(ScanTimeout):
                held.run("a", 0.05)
        waiting = callers.submit(held.run, "b")
        until(lambda: held.executor.waiting == 1)
        until(lambda: held.athena.calls.count("state") > 20)
        assert len(held.running) == 2, "both places are taken by queries that nobody waits for"
        held.athena.states = ["SUCCEEDED"]
        waiting.result()
    until(lambda: len(held.ended) == 3)
    assert sorted(each.how for each in held.ended) == ["succeeded", "timed_out", "timed_out"]
    assert sum(each.bytes for each in held.ended) == 21, "what nobody waited for was read all the same"


def test_who_waits_in_vain_for_a_turn_begins_no_query(held: Held) -> None:
    with ThreadPoolExecutor(4) as callers:
        first = [callers.submit(held.run, "a") for _ in range(2)]
        until(lambda: len(held.running) == 2)
        with pytest.raises(ScanTimeout):
            held.run("b", 0.02)
        assert held.executor.waiting == 0
        held.athena.states = ["SUCCEEDED"]
        for each in first:
            each.result()
    assert len(held.running) == 2


def test_what_waits_when_the_service_stops_is_told() -> None:
    held = Held(most=1)
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(held.run, "a")
        until(lambda: len(held.running) == 1)
        second = callers.submit(held.run, "a")
        until(lambda: held.executor.waiting == 1)
        closing = threading.Thread(target=held.executor.close)
        closing.start()
        with pytest.raises(FinderFailed, match="stopping"):
            second.result()
        held.athena.states = ["SUCCEEDED"]
        closing.join()
        first.result()


def test_a_query_that_runs_when_the_service_stops_is_asked_about_no_more() -> None:
    athena, ended = FakeAthena(["RUNNING"]), []
    executor = AthenaExecutor(1, ReadBudget(0, 1.0, time.monotonic), ended.append)
    with ThreadPoolExecutor(1) as callers:
        asked = callers.submit(executor.run, athena.question(), "a", time.monotonic() + 60)
        until(lambda: "state" in athena.calls)
        executor.close()
        with pytest.raises(FinderFailed, match="stopping"):
            asked.result()
    assert [each.how for each in ended] == ["failed"]
    assert not any(thread.is_alive() for thread in executor._threads)


def test_the_budget_counts_what_was_read_within_its_time() -> None:
    clock = FakeClock()
    budget = ReadBudget(100, 60.0, clock)
    budget.spend("a", 60)
    clock.now += 10
    budget.check("a")
    budget.spend("a", 60)
    budget.check("b")
    with pytest.raises(FinderBusy) as busy:
        budget.check("a")
    assert busy.value.retry_after == 50.0
    clock.now += 49.9
    with pytest.raises(FinderBusy):
        budget.check("a")
    clock.now += 0.1
    budget.check("a")
    ReadBudget(0, 60.0, clock).check("a")


def test_whoever_has_used_up_the_budget_begins_no_query() -> None:
    held = Held(budget=ReadBudget(14, 3600.0, time.monotonic))
    held.athena.states = ["SUCCEEDED"]
    held.run("a")
    held.run("a")
    until(lambda: len(held.ended) == 2)
    with pytest.raises(FinderBusy):
        held.run("a")
    held.run("b")
    assert held.running == ["SELECT 'a'", "SELECT 'a'", "SELECT 'b'"]
    held.executor.close()


def test_whoever_has_used_up_the_budget_doesnt_wait_for_a_turn_to_be_told() -> None:
    held = Held(most=1, budget=ReadBudget(7, 3600.0, time.monotonic))
    held.athena.states = ["SUCCEEDED"]
    held.run("a")
    held.athena.states = ["RUNNING"]
    with ThreadPoolExecutor(1) as callers:
        other = callers.submit(held.run, "b")
        until(lambda: len(held.running) == 2)
        with pytest.raises(FinderBusy):
            held.run("a", 5.0)
        held.athena.states = ["SUCCEEDED"]
        other.result()
    held.executor.close()


def test_an_error_that_nobody_thought_of_reaches_the_caller_and_the_place_is_free_again() -> None:
    held = Held(most=1)
    held.athena.states = ["SUCCEEDED"]
    faults = [ZeroDivisionError("x")]

    def fail_once() -> None:
        if faults:
            raise faults.pop()

    held.athena.on_state = fail_once
    with pytest.raises(ZeroDivisionError):
        held.run("a")
    held.run("a")
    held.executor.close()
