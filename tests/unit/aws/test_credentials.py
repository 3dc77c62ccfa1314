"""Credentials of a role: one question for an hour, renewed ahead, the old ones used while they are valid."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from server.errors import FailedPrecondition
from server.storage.aws.clients import ServiceClient
from server.storage.aws.credentials import SESSION_SECONDS, RoleCredentials, RoleSession
from server.storage.aws.errors import AwsError, CredentialsUnavailable, Kind
from tests.polling import until

SHORT = AwsError("sts:AssumeRoleWithWebIdentity", Kind.REFUSED, "ValidationError", status=400)
DENIED = AwsError("sts:AssumeRoleWithWebIdentity", Kind.DENIED, "AccessDenied", status=403, request_id="r-1")


@dataclass
class Sts:
    """Gives numbered sessions; `refuses` says what it raises for sessions of so many seconds."""

    now: float = 1_000_000.0
    asked: list[int] = field(default_factory=list)
    refuses: dict[int, AwsError] = field(default_factory=dict)

    def __call__(self, token: str, seconds: int) -> RoleSession:
        assert token == "token"
        self.asked.append(seconds)
        if seconds in self.refuses:
            raise self.refuses[seconds]
        number = len(self.asked)
        return RoleSession(f"key-{number}", "secret-canary", "token-canary", self.now + seconds, "arn", seconds)


@pytest.fixture
def sts() -> Sts:
    return Sts()


@pytest.fixture
def credentials(sts: Sts) -> RoleCredentials:
    return RoleCredentials(sts, lambda: "token", lambda: sts.now)


def test_aws_is_asked_once_for_an_hour(sts: Sts, credentials: RoleCredentials) -> None:
    keys = {credentials.get_frozen_credentials().access_key for _ in range(5)}
    sts.now += SESSION_SECONDS - 60
    keys.add(credentials.current().access_key)
    assert (keys, sts.asked) == ({"key-1"}, [3600])


def test_it_is_renewed_ahead_only_where_less_than_15_minutes_remain(sts: Sts, credentials: RoleCredentials) -> None:
    credentials.renew_if_due()
    sts.now += 2699
    credentials.renew_if_due()
    assert len(sts.asked) == 1
    sts.now += 2
    credentials.renew_if_due()
    assert (credentials.current().access_key, len(sts.asked)) == ("key-2", 2)


def test_a_failed_renewal_leaves_the_old_session_in_use_until_it_expires(
    sts: Sts, credentials: RoleCredentials
) -> None:
    credentials.current()
    sts.refuses[3600] = DENIED
    sts.now += 3000
    with pytest.raises(CredentialsUnavailable):
        credentials.renew_if_due()
    assert credentials.current().access_key == "key-1"
    assert credentials.problem is not None
    sts.now += 600
    with pytest.raises(CredentialsUnavailable) as caught:
        credentials.current()
    error = caught.value
    assert (error.code, error.status, error.request_id, error.kind) == ("AccessDenied", 403, "r-1", Kind.CREDENTIALS)
    del sts.refuses[3600]
    sts.now += 3
    assert credentials.current().access_key == f"key-{len(sts.asked)}"
    assert credentials.problem is None


def test_after_a_failure_callers_get_the_same_error_for_a_moment(sts: Sts, credentials: RoleCredentials) -> None:
    sts.refuses[3600] = DENIED
    for _ in range(10):
        with pytest.raises(CredentialsUnavailable):
            credentials.current()
    assert len(sts.asked) == 1
    sts.now += 3
    with pytest.raises(CredentialsUnavailable):
        credentials.current()
    assert len(sts.asked) == 2


def test_a_role_that_gives_no_hour_is_asked_for_a_quarter_and_renewed_late_in_it(
    sts: Sts, credentials: RoleCredentials, caplog: pytest.LogCaptureFixture
) -> None:
    sts.refuses[3600] = SHORT
    credentials.current()
    assert sts.asked == [3600, 900]
    assert "maximum session duration" in caplog.text
    for _ in range(5):  # the 15 minutes ahead would have it asked anew each time
        sts.now += 120
        credentials.renew_if_due()
        credentials.current()
    assert sts.asked == [3600, 900]
    sts.now += 100
    credentials.renew_if_due()
    assert sts.asked == [3600, 900, 900]


def test_what_keeps_a_token_from_being_made_is_told_in_its_own_words(sts: Sts) -> None:
    def no_token() -> str:
        raise FailedPrecondition("no issuer is configured", reason="NO_ISSUER")

    with pytest.raises(CredentialsUnavailable, match="no issuer is configured"):
        RoleCredentials(sts, no_token).current()
    assert sts.asked == []


def test_many_callers_at_once_ask_once(sts: Sts, credentials: RoleCredentials) -> None:
    gate = threading.Barrier(8)

    def call() -> None:
        gate.wait()
        credentials.current()

    threads = [threading.Thread(target=call) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(sts.asked) == 1


def test_the_thread_asks_before_anybody_calls_and_ends_with_close(sts: Sts) -> None:
    others = set(threading.enumerate())
    credentials = RoleCredentials(sts, lambda: "token", lambda: sts.now)
    credentials.start()
    until(lambda: sts.asked)
    credentials.close()
    until(lambda: not [each for each in set(threading.enumerate()) - others if each.name == "aws-credentials"])


@pytest.mark.parametrize(
    ("kind", "age", "asks"),
    [(Kind.DENIED, 300, True), (Kind.CREDENTIALS, 300, True), (Kind.DENIED, 299, False), (Kind.MISSING, 900, False),
     (Kind.THROTTLED, 900, False), (Kind.UNREACHABLE, 900, False)],
)  # fmt: skip
def test_a_session_that_may_have_been_revoked_is_given_up_early_and_not_again_and_again(
    sts: Sts, credentials: RoleCredentials, kind: Kind, age: int, asks: bool
) -> None:
    credentials.current()
    sts.now += age
    credentials.doubt(AwsError("s3:PutObject", kind))
    assert credentials.current().access_key == "key-1", "it is in use until there is another"
    for _ in range(3):
        credentials.renew_if_due()
        credentials.doubt(AwsError("s3:PutObject", kind))
    assert (credentials.current().access_key, len(sts.asked)) == (("key-2", 2) if asks else ("key-1", 1))


def test_where_no_other_session_can_be_had_refusals_do_not_have_it_asked_for_each_time(
    sts: Sts, credentials: RoleCredentials
) -> None:
    credentials.current()
    sts.now += 1000
    sts.refuses = {SESSION_SECONDS: DENIED}
    for _ in range(5):
        credentials.doubt(AwsError("s3:PutObject", Kind.DENIED))
        with contextlib.suppress(CredentialsUnavailable):
            credentials.renew_if_due()
    assert (credentials.current().access_key, len(sts.asked)) == ("key-1", 2)
    sts.now += 1000
    credentials.doubt(CredentialsUnavailable("the role could not be assumed", DENIED))
    credentials.renew_if_due()
    assert len(sts.asked) == 2


def test_the_thread_asks_at_once_for_another_session_in_place_of_a_revoked_one(sts: Sts) -> None:
    credentials = RoleCredentials(sts, lambda: "token", lambda: sts.now)
    credentials.start()
    until(lambda: credentials.expires_at)
    sts.now += 1000
    credentials.doubt(DENIED)
    until(lambda: len(sts.asked) == 2)
    credentials.close()


def test_what_a_client_is_refused_makes_its_session_doubted() -> None:
    heard: list[AwsError] = []

    class Refused:
        meta = SimpleNamespace(method_to_api_mapping={"put_object": "PutObject"})

        def put_object(self, **_: object) -> None:
            raise ClientError({"Error": {"Code": "ExpiredToken"}}, "PutObject")

    with pytest.raises(AwsError) as refused:
        ServiceClient("s3", Refused(), heard.append).put_object()
    assert heard == [refused.value]


def test_a_session_shows_no_secret(sts: Sts) -> None:
    assert "canary" not in repr(sts("token", 900)) + str(sts("token", 900))
