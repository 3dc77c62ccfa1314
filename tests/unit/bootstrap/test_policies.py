"""Policies are compared by what they mean, and statements of others stay."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from extaudit_cli.bootstrap.policies import lacking, merged, others, statements

DENY: dict[str, Any] = {
    "Sid": "Ours",
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": ["arn:aws:s3:::a", "arn:aws:s3:::a/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
THEIRS: dict[str, Any] = {
    "Sid": "Theirs",
    "Effect": "Allow",
    "Principal": {"AWS": "1"},
    "Action": "s3:Get*",
    "Resource": "*",
}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"Sid": "Renamed"}, True),
        ({"Principal": {"AWS": "*"}}, True),
        ({"Action": ["s3:*"]}, True),
        ({"Resource": ["arn:aws:s3:::a/*", "arn:aws:s3:::a"]}, True),
        ({"Condition": {"Bool": {"aws:securetransport": [False]}}}, True),
        ({"Effect": "Allow"}, False),
        ({"Principal": {"AWS": "123456789012"}}, False),
        ({"Action": ["s3:Get*"]}, False),
        ({"Resource": ["arn:aws:s3:::a"]}, False),
        ({"Condition": {}}, False),
        ({"Condition": {"Bool": {"aws:SecureTransport": "true"}}}, False),
    ],
)
def test_statements_are_the_same_where_they_mean_the_same(change: dict[str, Any], same: bool) -> None:
    assert (lacking([DENY], [DENY | change]) == []) is same


def test_one_policy_may_have_one_statement_that_is_no_list() -> None:
    assert statements(json.dumps({"Statement": DENY})) == [DENY]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Statement": 1}', '{"Statement": ["a"]}'])
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        statements(text)


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ([], []),
        ([THEIRS], [THEIRS]),
        ([DENY | {"Effect": "Allow"}, THEIRS], [THEIRS]),
        ([{**THEIRS, "Sid": None}], [{**THEIRS, "Sid": None}]),
        ([DENY | {"Sid": "Renamed"}, THEIRS], [THEIRS]),
    ],
    ids=["none", "theirs", "ours changed", "without a name", "ours under another name"],
)
def test_what_is_planned_comes_in_once_and_statements_of_others_stay(
    found: list[dict[str, Any]], kept: list[dict[str, Any]]
) -> None:
    policy = json.dumps({"Version": "2012-10-17", "Statement": found})
    assert json.loads(merged([DENY], policy))["Statement"] == [DENY, *kept]
    assert others([DENY], found) == kept


def test_a_statement_under_an_id_of_ours_is_told_where_ours_is_there_under_another() -> None:
    """It may allow everything: only what a planned statement takes the place of is nothing beside the plan."""
    more = {"Sid": "Ours", "Effect": "Allow", "Action": "*", "Resource": "*"}
    found = [DENY | {"Sid": "Renamed"}, more]
    assert (lacking([DENY], found), others([DENY], found)) == ([], [more])
    both = json.loads(merged([DENY, THEIRS], json.dumps({"Statement": found})))["Statement"]
    assert both == [{key: value for key, value in DENY.items() if key != "Sid"}, THEIRS, more]


def test_version_and_id_of_a_policy_stay_and_with_them_what_its_statements_mean() -> None:
    old = {"Version": "2008-10-17", "Id": "theirs", "Statement": [THEIRS | {"Resource": "arn:aws:s3:::a/${x}"}]}
    assert json.loads(merged([DENY], json.dumps(old))) == old | {"Statement": [DENY, *old["Statement"]]}
    assert json.loads(merged([DENY], ""))["Version"] == "2012-10-17"


def test_after_any_merge_nothing_planned_is_lacking_and_a_second_one_changes_nothing() -> None:
    chosen = Random(6)

    def statement() -> dict[str, Any]:
        made: dict[str, Any] = {
            "Effect": chosen.choice(["Allow", "Deny"]),
            "Action": chosen.choice(["s3:*", ["s3:Get*", "s3:Put*"], ["s3:Put*", "s3:Get*"]]),
            "Resource": chosen.choice(["*", ["*"]]),
        }
        if chosen.random() < 0.7:
            made["Sid"] = chosen.choice("ABC")
        if chosen.random() < 0.3:
            made["Principal"] = chosen.choice(["*", {"AWS": "*"}])
        return made

    for _ in range(500):
        planned = [statement() | {"Sid": sid} for sid in "AB"[: chosen.randint(1, 2)]]
        found = [statement() for _ in range(chosen.randint(0, 4))]
        once = statements(merged(planned, json.dumps({"Statement": found})))
        assert lacking(planned, once) == []
        assert others(planned, once) == others(planned, found)
        assert statements(merged(planned, json.dumps({"Statement": once}))) == once
