"""Commands of AWS's own command line, for people to run in their shell."""

from __future__ import annotations

import shlex


def put_role_policy(role_name: str, policy_name: str, policy: str) -> str:
    """The command that puts an inline policy on a role, for any POSIX shell; every word has exactly its value.

    Raises:
        ValueError: a value has NUL in it, which no program can be called with.
    """
    options = {"role-name": role_name, "policy-name": policy_name, "policy-document": policy}
    if any("\0" in value for value in options.values()):
        raise ValueError("no program can be called with NUL in a word")
    # The value stands behind `=`, since a name may begin with a dash.
    words = [f"--{name}={shlex.quote(value)}" for name, value in options.items()]
    return " ".join(["aws", "iam", "put-role-policy", *words])
