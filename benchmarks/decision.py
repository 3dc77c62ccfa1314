"""Compare a permission decision from the table with a bare Casbin `enforce`, in one run.

Run it with `python -m benchmarks.decision`. The policy has 20 roles of 30 rules; the caller has 3 of the roles.
Bare means over all rules, as Casbin has it: the service gives it only those that can matter.
Prints one line of JSON; times are µs per decision, the median of several rounds.
"""

from __future__ import annotations

import json
import logging
import statistics
import time
from collections.abc import Callable

import casbin

from rbac.casbin_policy import MODEL, _applies, _carries, _covers, _NoRows, _rows_of
from rbac.identities import Identity, IdentityKind
from rbac.policy import Policy
from rbac.roles import Role, Rule

ROLES = 20
RULES = 30
QUESTIONS = [(f"kind_{number}", "read") for number in range(0, RULES, 3)]


def main() -> None:
    """Measure both and print the ratio."""
    roles = [_role(number) for number in range(ROLES)]
    policy, enforce = Policy.of(roles), _bare_enforce(roles)
    caller = Identity(IdentityKind.USER, "caller", frozenset({"role_3", "role_9", "role_15"}))

    def ours() -> None:
        for kind, verb in QUESTIONS:
            policy.decide(caller, kind, (verb,))

    def floor() -> None:
        for kind, verb in QUESTIONS:
            enforce(caller.roles, True, kind, verb, frozenset())

    for kind, verb in QUESTIONS:
        assert policy.decide(caller, kind, (verb,)) == enforce(caller.roles, True, kind, verb, frozenset())
    ours_us, floor_us = _measure(ours, repeats=5_000), _measure(floor, repeats=1)
    result = {
        "name": "permission decision",
        "ours_us": round(ours_us, 3),
        "floor_us": round(floor_us, 1),
        "ratio": round(floor_us / ours_us),
        "target": ">= 1000",
        "met": floor_us >= 1000 * ours_us,
    }
    print(json.dumps(result))


def _bare_enforce(roles: list[Role]) -> Callable[..., bool]:
    """Casbin's own `enforce` with the model, the functions and all rules of the service, asked as the service asks."""
    enforcer = casbin.Enforcer(str(MODEL), _NoRows())
    enforcer.logger = logging.Logger("silent", level=logging.CRITICAL + 1)  # noqa: LOG001 -- no question is written
    for name, function in (("carries", _carries), ("covers", _covers), ("applies", _applies)):
        enforcer.add_function(name, function)
    enforcer.get_model()["p"]["p"].policy = list(_rows_of(roles))
    return enforcer.enforce


def _role(number: int) -> Role:
    """One role: each rule allows reading and listing one kind; every tenth is a deny rule for deleting it."""
    rules = [(Rule(frozenset({f"kind_{n}"}), frozenset({"read", "list"})), n) for n in range(RULES)]
    deny = tuple(Rule(rule.kinds, frozenset({"delete"})) for rule, n in rules if n % 10 == 9)
    return Role(f"role_{number}", tuple(rule for rule, n in rules if n % 10 != 9), deny, 1)


def _measure(ask: Callable[[], None], repeats: int, rounds: int = 9) -> float:
    """Time in µs for one question."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(repeats):
            ask()
        times.append((time.perf_counter() - start) / repeats / len(QUESTIONS))
    return statistics.median(times) * 1e6


if __name__ == "__main__":
    main()
