"""Role ARNs are taken apart whole, and put together the same."""

from __future__ import annotations

import pytest

from server.integrations.integration import MAX_PATH_CHARACTERS, RoleArn

ACCOUNT = "111122223333"
LONG_PATH = "/" + "p" * (MAX_PATH_CHARACTERS - 2) + "/"

RIGHT = {
    f"arn:aws:iam::{ACCOUNT}:role/audit": ("aws", "/", "audit"),
    f"arn:aws-us-gov:iam::{ACCOUNT}:role/a/b/audit": ("aws-us-gov", "/a/b/", "audit"),
    f"arn:aws-cn:iam::{ACCOUNT}:role/service-role/x": ("aws-cn", "/service-role/", "x"),
    f"arn:aws:iam::{ACCOUNT}:role/A-Z_a+z=0,9.@-": ("aws", "/", "A-Z_a+z=0,9.@-"),
    f"arn:aws:iam::{ACCOUNT}:role/{'n' * 64}": ("aws", "/", "n" * 64),
    f"arn:aws:iam::{ACCOUNT}:role{LONG_PATH}n": ("aws", LONG_PATH, "n"),
    f"arn:aws:iam::{ACCOUNT}:role/!\"#$%&'()*:;<=>?@[]^_`{{|}}~/n": ("aws", "/!\"#$%&'()*:;<=>?@[]^_`{|}~/", "n"),
    f"arn:aws:iam::{ACCOUNT}:role/${{aws:x}}/n": ("aws", "/${aws:x}/", "n"),
    "arn:aws:iam::000000000000:role/n": ("aws", "/", "n"),
}

WRONG = [
    "",
    "audit",
    f"arn:aws:iam::{ACCOUNT}:role/",
    f"arn:aws:iam::{ACCOUNT}:role",
    f"arn:aws:iam::{ACCOUNT}:roleaudit",
    f"arn:aws:iam::{ACCOUNT}:role//audit",
    f"arn:aws:iam::{ACCOUNT}:role/a//audit",
    f"arn:aws:iam::{ACCOUNT}:role/audit/",
    f"arn:aws:iam::{ACCOUNT}:user/audit",
    f"arn:aws:iam::{ACCOUNT}:assumed-role/audit",
    f"arn:aws:sts::{ACCOUNT}:role/audit",
    f"arn:aws:iam:us-east-1:{ACCOUNT}:role/audit",
    f"arn:aws-iso:iam::{ACCOUNT}:role/audit",
    f"arn:AWS:iam::{ACCOUNT}:role/audit",
    f"ARN:aws:iam::{ACCOUNT}:role/audit",
    f"arn::iam::{ACCOUNT}:role/audit",
    "arn:aws:iam::11112222333:role/audit",
    "arn:aws:iam::1111222233334:role/audit",
    "arn:aws:iam::11112222333x:role/audit",
    "arn:aws:iam::١١١١٢٢٢٢٣٣٣٣:role/audit",
    "arn:aws:iam:::role/audit",
    f"arn:aws:iam::{ACCOUNT}:role/{'n' * 65}",
    f"arn:aws:iam::{ACCOUNT}:role{LONG_PATH[:-1]}p/n",
    f"arn:aws:iam::{ACCOUNT}:role/audit\n",
    f" arn:aws:iam::{ACCOUNT}:role/audit",
    f"arn:aws:iam::{ACCOUNT}:role/au dit",
    f"arn:aws:iam::{ACCOUNT}:role/a b/audit",
    f"arn:aws:iam::{ACCOUNT}:role/äudit",
    f"arn:aws:iam::{ACCOUNT}:role/ä/audit",
    f"arn:aws:iam::{ACCOUNT}:role/a\x7f/audit",
    f"arn:aws:iam::{ACCOUNT}:role/a*",
    f"arn:aws:iam::{ACCOUNT}:role/audit\0",
]


@pytest.mark.parametrize("text", RIGHT)
def test_a_role_arn_is_read_whole_and_written_the_same(text: str) -> None:
    partition, path, name = RIGHT[text]
    role = RoleArn.parse(text)
    assert role is not None
    assert (role.partition, role.path, role.name) == (partition, path, name)
    assert str(role) == text


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_role_arn_is_not_taken_for_one(text: str) -> None:
    assert RoleArn.parse(text) is None
