"""The command for a shell gives every word exactly its value."""

from __future__ import annotations

import random
import shlex
import subprocess

import pytest
from click import ClickException
from extaudit_cli.aws_command import put_role_policy
from extaudit_cli.storage_iam_policy import command_text
from extaudit_client import RolePolicyPlan

from server.external_storage.iam_policy import iam_policy, policy_text
from tests.unit.external_storage.specs import ACCOUNT, random_role, random_spec

HOSTILE = [*"'\"\\$`!&|;<>(){}[]*?#~ \n\r\t\x1b\x7f=-@", "$(id)", "`id`", "'; id; '", "-x", "é", "\u202e", "\\\n", "''"]


def texts(chance: random.Random) -> list[str]:
    return ["".join(chance.choices(HOSTILE, k=chance.randrange(1, 10))) for _ in range(3)]


def expected(role: str, policy_name: str, policy: str) -> list[str]:
    options = [f"--role-name={role}", f"--policy-name={policy_name}", f"--policy-document={policy}"]
    return ["aws", "iam", "put-role-policy", *options]


def test_a_command_of_any_legal_storage_comes_back_word_by_word() -> None:
    chance = random.Random(66)
    for _ in range(200):
        spec = random_spec(chance)
        role = random_role(chance, spec.region)
        given = (role.name, spec.policy_name, policy_text(iam_policy(spec, role.partition, ACCOUNT)))
        assert shlex.split(put_role_policy(*given)) == expected(*given)


def test_a_real_shell_gives_the_program_the_same_words_whatever_is_in_them() -> None:
    chance = random.Random(67)
    given = [texts(chance) for _ in range(200)]
    calls = ["aws() { printf '%s\\0' aws \"$@\"; }", *(put_role_policy(*each) for each in given)]
    done = subprocess.run(["/bin/sh"], input="\n".join(calls).encode(), capture_output=True, check=True)
    wanted = [word for each in given for word in expected(*each)]
    assert done.stdout.decode().split("\0")[:-1] == wanted


def test_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        put_role_policy("a", "b\0", "{}")


@pytest.mark.parametrize("names", [("role/a\x1b[2J", "p"), ("role/a", "p\u202e"), ("role/a", "p\n")])
def test_names_that_a_terminal_might_act_on_are_not_printed(names: tuple[str, str]) -> None:
    role, policy_name = names
    with pytest.raises(ClickException, match="names that AWS doesn't take"):
        command_text(RolePolicyPlan(f"arn:aws:iam::123456789012:{role}", policy_name, "{}"), "{}")
