"""Token, role and account: what AWS says no with is told by the right name, and nothing else is said to be fine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from server.storage.aws.checks.credentials import ACCOUNT, ROLE, TOKEN, check_credentials
from server.storage.aws.checks.findings import Findings
from server.storage.aws.clients import AwsClients
from server.storage.aws.credentials import RoleSession
from server.storage.aws.errors import AwsError, CredentialsUnavailable, Kind
from server.storage.connection import Check, Outcome, Wanted

ASSUME = "sts:AssumeRoleWithWebIdentity"
WANTED = cast(
    Wanted,
    SimpleNamespace(
        issuer="https://audit.test", audience="aud", subject="sub", role_arn="arn:role", account_id="123456789012"
    ),
)


def told(session: RoleSession | CredentialsUnavailable, who: dict[str, str] | AwsError) -> dict[str, Check]:
    def give(answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    checks: list[Check] = []
    credentials = SimpleNamespace(current=lambda: give(session))
    clients = SimpleNamespace(credentials=credentials, sts=SimpleNamespace(get_caller_identity=lambda: give(who)))
    there = check_credentials(cast(AwsClients, clients), WANTED, Findings(checks.append, lambda: False))
    assert there is isinstance(session, RoleSession)
    assert [check.name for check in checks] == [TOKEN, ROLE, ACCOUNT]
    assert all(each.remedy and each.wrong_setting for each in checks if each.outcome is Outcome.FAILED)
    return {check.name: check for check in checks}


def session(seconds: int) -> RoleSession:
    return RoleSession("key", "secret", "token", 0.0, "arn", seconds)


HERE = {"Account": "123456789012", "Arn": "arn"}


@pytest.mark.parametrize(
    ("seconds", "who", "outcomes"),
    [
        (3600, HERE, (Outcome.PASSED, Outcome.PASSED)),
        (900, HERE, (Outcome.WARNING, Outcome.PASSED)),
        (3600, {"Account": "999999999999"}, (Outcome.PASSED, Outcome.FAILED)),
        (3600, AwsError("sts:GetCallerIdentity", Kind.UNREACHABLE), (Outcome.PASSED, Outcome.FAILED)),
    ],
)
def test_a_session_shows_role_and_account(
    seconds: int, who: dict[str, str] | AwsError, outcomes: tuple[Outcome, Outcome]
) -> None:
    checks = told(session(seconds), who)
    assert (checks[ROLE].outcome, checks[ACCOUNT].outcome) == outcomes


@pytest.mark.parametrize(
    ("code", "kind", "failing", "setting", "says"),
    [
        ("InvalidIdentityToken", Kind.CREDENTIALS, TOKEN, "identity provider", "with the client id aud"),
        ("ExpiredTokenException", Kind.CREDENTIALS, TOKEN, "clock", "NTP"),
        ("IDPCommunicationError", Kind.REFUSED, TOKEN, "issuer_url", "https://audit.test/.well-known"),
        ("IDPRejectedClaim", Kind.CREDENTIALS, TOKEN, "issuer_url", "https://audit.test"),
        ("AccessDenied", Kind.DENIED, ROLE, "trust policy", "sub sub"),
        ("", Kind.UNREACHABLE, TOKEN, "network", "reaches AWS"),
        ("Throttling", Kind.THROTTLED, TOKEN, "request rate", "Try again"),
        ("RegionDisabledException", Kind.DENIED, TOKEN, "region", "STS"),
    ],
)
def test_what_aws_says_no_with_is_told_by_name(code: str, kind: Kind, failing: str, setting: str, says: str) -> None:
    checks = told(CredentialsUnavailable("no", AwsError(ASSUME, kind, code, request_id="r-1")), HERE)
    assert [name for name, check in checks.items() if check.outcome is Outcome.FAILED] == [failing]
    check = checks[failing]
    assert (check.aws_error_code, check.aws_request_id, check.wrong_setting) == (code, "r-1", setting)
    assert says in check.remedy
    assert checks[ACCOUNT].outcome is Outcome.NOT_CHECKED


def test_a_token_that_can_not_be_made_is_told_as_that() -> None:
    check = told(CredentialsUnavailable("no issuer is configured"), HERE)[TOKEN]
    assert (check.outcome, check.wrong_setting) == (Outcome.FAILED, "issuer_url")
    assert "no issuer is configured" in check.detail
