"""Credentials of a role, had by web identity and renewed ahead; the service keeps no keys of AWS."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from server.errors import AuditStoreError
from server.storage.aws.errors import AwsError, CredentialsUnavailable, Kind, translated
from server.storage.aws.session import AwsSettings, client_config, closed_session, make_client

_log = logging.getLogger(__name__)

SESSION_SECONDS: Final = 3600
SHORTEST_SESSION_SECONDS: Final = 900
"""What AWS gives for any role."""
AHEAD_SECONDS: Final = 900
"""What may remain of a session when the next is asked for; a quarter of the session where it is short."""
CHECK_SECONDS: Final = 30
_UNUSABLE_SECONDS: Final = 5
"""What remains of a session that is no longer signed with: the call has to arrive as well."""
_DOUBT_SECONDS: Final = 300
"""How old a session is at least that is given up early because AWS refused what was signed with it; and how long it is
until another refusal counts, since most are no matter of the session."""
_PAUSE_SECONDS: Final = 2
"""After a failure, callers get the same error for so long, rather than each asking AWS anew."""
_ATTEMPT: Final = {"connect_timeout": 4, "read_timeout": 10, "retries": {"mode": "standard", "total_max_attempts": 2}}
"""Asking for credentials is over within 30 seconds."""


@dataclass(frozen=True, slots=True)
class RoleSession:
    """Temporary credentials, and who they make us. `repr` shows no secret."""

    access_key: str
    secret_key: str
    session_token: str
    expires_at: float
    """Seconds since 1970."""
    assumed_arn: str
    """`arn:aws:sts::<account>:assumed-role/<role>/<session>`."""
    seconds: float
    """How long it is valid in all."""

    def __repr__(self) -> str:
        return f"RoleSession({self.assumed_arn!r})"


Assume = Callable[[str, int], RoleSession]
"""Exchanges a token for a session of so many seconds; raises AwsError."""


class WebIdentityExchange:
    """AssumeRoleWithWebIdentity at the STS of the storage's region. Nothing is signed: the token is the proof."""

    def __init__(self, region: str, role_arn: str, settings: AwsSettings) -> None:
        self._region = region
        self._role_arn = role_arn
        self._settings = settings
        self._lock = threading.Lock()
        self._client: Any = None

    def __call__(self, token: str, seconds: int) -> RoleSession:
        """A session of the role.

        Raises:
            AwsError: there is none.
        """
        client = self._sts()
        with translated("sts:AssumeRoleWithWebIdentity"):
            answer = client.assume_role_with_web_identity(
                RoleArn=self._role_arn, RoleSessionName="extaudit", WebIdentityToken=token, DurationSeconds=seconds
            )
        given = answer["Credentials"]
        return RoleSession(
            given["AccessKeyId"],
            given["SecretAccessKey"],
            given["SessionToken"],
            given["Expiration"].timestamp(),
            answer.get("AssumedRoleUser", {}).get("Arn", ""),
            seconds,
        )

    def _sts(self) -> Any:
        from botocore import UNSIGNED

        with self._lock:
            if self._client is None:
                config = client_config(self._settings, self._region, signature_version=UNSIGNED, **_ATTEMPT)
                self._client = make_client(closed_session(None), "sts", self._settings, config)
            return self._client

    def close(self) -> None:
        """Close its connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()


class RoleCredentials:
    """Stands where botocore's clients look for what to sign with. Any thread may use it.

    The first caller asks AWS; once `start` was called a thread renews ahead, so that no caller waits. While the old
    session is valid a failure to renew is logged and nothing else; once it has expired callers get
    CredentialsUnavailable.
    """

    method = "web-identity"
    account_id = None

    def __init__(self, assume: Assume, token: Callable[[], str], now: Callable[[], float] = time.time) -> None:
        self._assume = assume
        self._token = token
        self._now = now
        self._asking = threading.Lock()
        self._session: RoleSession | None = None
        self._problem: CredentialsUnavailable | None = None
        self._problem_until = 0.0
        self._longest = SESSION_SECONDS
        self._doubted = False
        self._doubted_at = float("-inf")
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def current(self) -> RoleSession:
        """A valid session; AWS is asked where there is none.

        Raises:
            CredentialsUnavailable: there is none, and none could be had.
        """
        session = self._session
        if session is not None and session.expires_at - _UNUSABLE_SECONDS > self._now():
            return session
        with self._asking:
            session = self._session
            if session is not None and session.expires_at - _UNUSABLE_SECONDS > self._now():
                return session
            if self._problem is not None and self._now() < self._problem_until:
                raise self._problem.again()
            return self._renew()

    def renew_if_due(self) -> None:
        """Ask for the next session where little remains of this one; whoever needs credentials meanwhile has the old.

        Raises:
            CredentialsUnavailable: none could be had.
        """
        session = self._session
        ahead = AHEAD_SECONDS if session is None else min(AHEAD_SECONDS, session.seconds / 4)
        if session is None or self._doubted or session.expires_at - self._now() < ahead:
            with self._asking:
                self._doubted = False
                self._renew()

    def doubt(self, error: AwsError) -> None:
        """Hear what AWS refused: an administrator may have revoked the session, which AWS tells by no code of its own.

        The thread then asks for another one at once; the old one stays in use until there is one.
        """
        session, now = self._session, self._now()
        is_of_session = error.kind in (Kind.DENIED, Kind.CREDENTIALS) and not isinstance(error, CredentialsUnavailable)
        if session is None or not is_of_session:
            return
        since = max(session.expires_at - session.seconds, self._doubted_at)
        if now - since >= _DOUBT_SECONDS:
            self._doubted, self._doubted_at = True, now
            self._wake.set()

    @property
    def problem(self) -> CredentialsUnavailable | None:
        """Why the last attempt to get credentials failed; None if it didn't."""
        return self._problem

    @property
    def expires_at(self) -> float | None:
        """When the session in use ends, in seconds since 1970; None if there is none yet."""
        return self._session.expires_at if self._session else None

    def _renew(self) -> RoleSession:
        try:
            self._session = self._exchange()
        except AuditStoreError as error:
            self._problem = CredentialsUnavailable(error.message)
        except AwsError as error:
            self._problem = CredentialsUnavailable(f"the role could not be assumed: {error.words}", error)
        else:
            self._problem = None
            return self._session
        self._problem_until = self._now() + _PAUSE_SECONDS
        raise self._problem.again()

    def _exchange(self) -> RoleSession:
        token = self._token()
        try:
            return self._assume(token, self._longest)
        except AwsError as error:
            if error.code != "ValidationError" or self._longest == SHORTEST_SESSION_SECONDS:
                raise
            session = self._assume(token, SHORTEST_SESSION_SECONDS)
        self._longest = SHORTEST_SESSION_SECONDS
        _log.warning(
            "the role gives no session of an hour, so that one of 15 minutes is taken; "
            "raise its maximum session duration to an hour"
        )
        return session

    def start(self) -> None:
        """Renew ahead on a thread, until `close`."""
        self._thread = threading.Thread(target=self._run, name="aws-credentials", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        failing = False
        while not self._stopping.is_set():
            try:
                self.renew_if_due()
                failing = False
            except AwsError as error:
                if not failing:  # once for each outage; metrics and status go on telling
                    _log.warning("credentials of AWS could not be renewed", extra={"fields": {"why": str(error)}})
                failing = True
            except Exception:  # whatever it is, the next attempt may be better; without this thread there is none
                _log.exception("credentials of AWS could not be renewed")
            # Many services of one account must not ask in the same second.
            self._wake.wait(CHECK_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 -- no secret
            self._wake.clear()

    def stop(self) -> None:
        """Renew ahead no more; waits for nothing. Who still asks gets a session."""
        self._stopping.set()
        self._wake.set()

    def close(self) -> None:
        """End the thread; a call to AWS that is under way is not waited for."""
        self.stop()
        if self._thread is not None:
            self._thread.join(timeout=1)

    # What botocore calls.

    def get_frozen_credentials(self) -> Any:
        """As botocore wants them, for each request."""
        from botocore.credentials import ReadOnlyCredentials

        session = self.current()
        return ReadOnlyCredentials(session.access_key, session.secret_key, session.session_token)

    def get_deferred_property(self, name: str) -> Callable[[], None]:
        """botocore asks for the account here, for endpoints that aren't used."""
        return lambda: None
