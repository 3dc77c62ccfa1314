"""How checks tell what they found."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from server.storage.aws.errors import AwsError, Kind
from server.storage.connection import Check, Outcome

_KMS: Final = "kms:"
_OF_KEYS: Final = "KMS."
"""So codes of S3 begin that pass on what KMS said."""
_WITH_KEY: Final = frozenset({"s3:PutObject", "s3:GetObject", "s3:GetObjectVersion"})


class Stopped(Exception):
    """No further check is to be begun."""


class Findings:
    """Takes what checks found, with how long since the one before; and ends the test where it is to end."""

    def __init__(self, report: Callable[[Check], None], stopped: Callable[[], bool]) -> None:
        self._report = report
        self._stopped = stopped
        self._since = time.monotonic()

    def passed(self, name: str, subject: str, detail: str, **facts: str) -> None:
        """It is as it should be."""
        self._tell(Check(name, subject, Outcome.PASSED, detail, facts=_facts(facts)))

    def warning(self, name: str, subject: str, detail: str, *, setting: str, remedy: str, **facts: str) -> None:
        """It works, but not as planned."""
        found = Check(name, subject, Outcome.WARNING, detail, wrong_setting=setting, remedy=remedy, facts=_facts(facts))
        self._tell(found)

    def failed(
        self,
        name: str,
        subject: str,
        detail: str,
        *,
        setting: str,
        remedy: str,
        code: str = "",
        request_id: str = "",
        **facts: str,
    ) -> None:
        """It isn't as it must be; `setting` is what is missing or wrong."""
        self._tell(
            Check(
                name,
                subject,
                Outcome.FAILED,
                detail,
                aws_error_code=code,
                wrong_setting=setting,
                remedy=remedy,
                aws_request_id=request_id,
                facts=_facts(facts),
            )
        )

    def refused(self, name: str, subject: str, error: AwsError, *, setting: str = "", remedy: str = "") -> None:
        """A call that a check needs failed. `setting` and `remedy` count where it isn't a right that is missing."""
        denied = error.kind is Kind.DENIED
        found = Check(
            name,
            subject,
            Outcome.FAILED,
            _detail_of(error),
            aws_error_code=error.code,
            missing_action=error.action if denied else "",
            wrong_setting="" if denied else setting or _setting_of(error),
            remedy=_remedy_of(error) if denied or not remedy else remedy,
            aws_request_id=error.request_id,
        )
        self._tell(found)

    def not_checked(self, name: str, subject: str, why: str) -> None:
        """It couldn't be looked at."""
        self._tell(Check(name, subject, Outcome.NOT_CHECKED, why))

    def go_on(self) -> None:
        """Raise Stopped where the test is to end."""
        if self._stopped():
            raise Stopped

    def _tell(self, check: Check) -> None:
        now = time.monotonic()
        seconds, self._since = now - self._since, now
        self._report(replace(check, seconds=seconds))
        self.go_on()


def _facts(facts: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name.replace("_", "-"), value) for name, value in facts.items() if value)


def _detail_of(error: AwsError) -> str:
    if error.kind is Kind.DENIED:
        return f"AWS did not allow {error.action}."
    return f"{error.action} did not succeed: {error.words}."


def _setting_of(error: AwsError) -> str:
    if error.code.startswith(_OF_KEYS):
        return "key of KMS"
    return {
        Kind.UNREACHABLE: "network",
        Kind.THROTTLED: "request rate",
        Kind.FAILING: "AWS",
        Kind.CREDENTIALS: "credentials",
    }.get(error.kind, "names")


def _remedy_of(error: AwsError) -> str:
    if error.kind is Kind.DENIED and error.action.startswith(_KMS):
        return (
            f"Allow {error.action} on the bucket's key: name the key in the storage's options, have the role's policy "
            "printed anew by `extaudit storage iam-policy`, and have the key's own policy allow the role."
        )
    if error.kind is Kind.DENIED:
        key = " Where the bucket encrypts with a key of KMS, allow the key too." if error.action in _WITH_KEY else ""
        return (
            f"Allow {error.action} on it in the role's policy, which `extaudit storage iam-policy` prints whole. Where "
            "it is allowed there, look for what denies it: the bucket's own policy, a permissions boundary, a policy "
            f"of the organization.{key}"
        )
    if error.code.startswith(_OF_KEYS):
        return "See that the key which the bucket encrypts with is there, enabled, and of the bucket's region."
    return {
        Kind.UNREACHABLE: "See that this machine reaches AWS: name resolution, firewall, `aws.proxy`, `aws.ca`.",
        Kind.THROTTLED: "Try again in a minute; where it goes on, ask AWS for a higher quota.",
        Kind.FAILING: "Try again in a minute; where it goes on, ask AWS's support with the request id.",
        Kind.CREDENTIALS: "Run the test again; where it goes on, compare this machine's clock.",
    }.get(error.kind, "Ask AWS's support with the request id, or compare the storage's names with what is there.")
