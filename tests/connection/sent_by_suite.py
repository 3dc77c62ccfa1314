"""`python -m tests.connection.sent_by_suite FOLDER`: what the service sent to AWS in all tests, held to its policy.

`make test` runs it after them, with the folder that their sandboxes noted in.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from server.external_storage.iam_policy import iam_policy
from tests.account_under_test import spec_named
from tests.sandbox.sent import read_sent

NOT_NEEDED: Final = {"glue:UpdateTable"}
"""Of the page's policy; docs/connection-test.md says why the service never asks for it."""
NO_RIGHTS: Final = {"sts:AssumeRoleWithWebIdentity", "sts:GetCallerIdentity"}
"""Calls that no policy of the role is asked about."""


def policy_actions(kms_key_arn: str = "") -> list[str]:
    """Every action of the role's policy, in its order."""
    policy = iam_policy(spec_named("any"), "aws", "123456789012", kms_key_arn)
    return [action for statement in policy["Statement"] for action in statement["Action"]]


def problems(sent: set[tuple[str, str]]) -> Iterator[str]:
    """How what was sent differs from what is documented, a line each."""
    direct = {action for action, via in sent if not via}
    everything = {action for action, _ in sent}
    for action in sorted(everything - set(policy_actions("any-key")) - NO_RIGHTS):
        yield f"the service sent {action}, which its role's policy does not have"
    for action in sorted(everything & NOT_NEEDED):
        yield f"the service sent {action}, which docs/connection-test.md says that it never does"
    for action in sorted(set(policy_actions()) - NOT_NEEDED - direct):
        yield f"no test had the service send {action}: either it is needed no more, or nothing was noted"


def main(folder: Path) -> int:
    """Print what was sent and what is wrong with it; gives the exit code."""
    sent = read_sent(folder)
    wrong = list(problems(sent))
    direct, delegated = ({action for action, via in sent if bool(via) is of_via} for of_via in (False, True))
    print(f"the service sent {len(direct)} actions: {' '.join(sorted(direct))}")
    print(f"Athena acted for it by {len(delegated)}: {' '.join(sorted(delegated))}")
    print("\n".join(wrong) if wrong else f"of its policy's actions it never sent {' '.join(sorted(NOT_NEEDED))}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
