import threading

import pytest

from rbac import casbin_policy
from rbac.casbin_policy import CasbinPolicy
from rbac.decisions import DecisionTable
from rbac.roles import Role, Rule


class Counting:
    """Allows the verb `yes`, and counts how often it was asked and by how many at once."""

    def __init__(self):
        self.questions = []
        self.inside = 0
        self.most_inside = 0
        self.fault = None

    def decide(self, roles, is_user, kind, verb):
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        threading.Event().wait(0.001)  # lets another thread in, if nothing keeps it out
        self.questions.append((roles, is_user, kind, verb))
        self.inside -= 1
        if self.fault:
            raise self.fault
        return verb == "yes"


A = frozenset({"a"})
B = frozenset({"b"})


@pytest.mark.parametrize("verb", ["yes", "no"])
def test_a_question_is_asked_once(verb):
    decider = Counting()
    table = DecisionTable(decider)
    assert [table.decide(frozenset({"a"}), True, "k", verb) for _ in range(3)] == [verb == "yes"] * 3
    assert decider.questions == [(A, True, "k", verb)]


def test_each_part_of_a_question_makes_another():
    decider = Counting()
    table = DecisionTable(decider)
    questions = [
        (A, True, "k", "yes"),
        (B, True, "k", "yes"),
        (A, False, "k", "yes"),
        (A, True, "l", "yes"),
        (A, True, "k", "no"),
    ]
    for _ in range(2):
        for question in questions:
            table.decide(*question)
    assert decider.questions == questions


def test_the_table_is_bounded():
    decider = Counting()
    table = DecisionTable(decider, limit=3)
    for n in range(10):
        table.decide(A, True, str(n), "yes")
        assert len(table._known) <= 3
    assert table.decide(A, True, "9", "yes")
    assert len(decider.questions) == 10


def test_an_error_is_raised_and_not_remembered():
    decider = Counting()
    table = DecisionTable(decider)
    decider.fault = RuntimeError("broken")
    with pytest.raises(RuntimeError):
        table.decide(A, True, "k", "yes")
    decider.fault = None
    assert table.decide(A, True, "k", "yes") is True


def test_the_decider_is_asked_by_one_thread_at_a_time_and_once():
    decider = Counting()
    table = DecisionTable(decider)
    start = threading.Barrier(8)

    def ask():
        start.wait()
        for n in range(10):
            table.decide(A, True, str(n), "yes")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (decider.most_inside, len(decider.questions)) == (1, 10)


def test_a_question_walks_no_rules_of_other_roles_and_kinds(monkeypatch):
    """Who may ask about any roles could else hold the service up with the rules of all of them."""
    walked = 0

    def carries(roles, role):
        nonlocal walked
        walked += 1
        return role in roles

    monkeypatch.setattr(casbin_policy, "_carries", carries)
    verbs = frozenset({"list"})
    rules = (*(Rule(frozenset({f"kind-{number}"}), verbs) for number in range(500)), Rule(frozenset({"event"}), verbs))
    policy = CasbinPolicy([Role(name, rules, (), 1) for name in ("a", "b")])
    assert policy.enforce(frozenset({"a"}), True, "event", "list")
    assert walked == 1
    assert not policy.enforce(frozenset({"a"}), True, "lock", "list")
    assert walked == 1
