"""The clients of one role in one region: made when first asked for, kept, closed together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from server.storage.aws.credentials import RoleCredentials, WebIdentityExchange
from server.storage.aws.errors import AwsError, Kind, action_of, translated
from server.storage.aws.session import AwsSettings, client_config, closed_session, make_client

__all__ = ["AwsClients", "AwsSettings", "ServiceClient"]


class ServiceClient:
    """A botocore client whose errors are AwsErrors: `s3.list_objects_v2(Bucket=…)`. Any thread may use it.

    What a call leaves to be read, such as `Body`, raises botocore's own; read it within `errors.translated(action)`.
    """

    def __init__(self, service: str, client: Any, refused: Callable[[AwsError], None] = lambda _: None) -> None:
        """`refused` hears of every error."""
        self._service = service
        self._client = client
        self._refused = refused

    def __getattr__(self, method: str) -> Callable[..., Any]:
        operation = self._client.meta.method_to_api_mapping.get(method)
        if operation is None:
            raise AttributeError(f"{self._service} has no {method}")
        function, action = getattr(self._client, method), action_of(self._service, operation)

        def call(**parameters: Any) -> Any:
            try:
                with translated(action):
                    return function(**parameters)
            except AwsError as error:
                self._refused(error)
                raise

        return call

    def close(self) -> None:
        """Close its connections."""
        self._client.close()


class AwsClients:
    """`s3`, `athena`, `glue` and `sts` of a role that is assumed by web identity.

    `token` gives a web-identity token, on any thread; AWS is not asked before something is called. All calls block,
    so they belong on an executor. `region` and `role_arn` must have been validated: addresses are made from them.
    """

    def __init__(self, region: str, role_arn: str, token: Callable[[], str], settings: AwsSettings) -> None:
        self.region = region
        self.role_arn = role_arn
        self.store = settings.store
        self._settings = settings
        self._exchange = WebIdentityExchange(region, role_arn, settings)
        self.credentials = RoleCredentials(self._exchange, token)
        self._lock = threading.Lock()
        self._session: Any = None
        self._made: dict[str, ServiceClient] = {}
        self._closed = False
        self._given_up = False

    def start(self) -> None:
        """Have the credentials renewed ahead; for clients that are kept."""
        self.credentials.start()

    @property
    def s3(self) -> ServiceClient:
        """Amazon S3."""
        return self._client("s3")

    @property
    def athena(self) -> ServiceClient:
        """Amazon Athena."""
        return self._client("athena")

    @property
    def glue(self) -> ServiceClient:
        """AWS Glue."""
        return self._client("glue")

    @property
    def sts(self) -> ServiceClient:
        """AWS STS, signed."""
        return self._client("sts")

    def _client(self, service: str) -> ServiceClient:
        made = self._made.get(service)
        if made is not None:
            return made
        with self._lock:
            if self._closed:
                raise RuntimeError("the clients are closed")
            if service not in self._made:
                self._session = self._session or closed_session(self.credentials)
                config = client_config(self._settings, self.region)
                client = make_client(self._session, service, self._settings, config)
                client.meta.events.register("before-send", self._before_send)
                self._made[service] = ServiceClient(service, client, self.credentials.doubt)
            return self._made[service]

    def give_up(self) -> None:
        """Send nothing any more, and nothing again: what is under way ends with the answer that it waits for."""
        self._given_up = True

    def _before_send(self, **_: Any) -> None:
        if self._given_up:
            raise AwsError("", Kind.UNREACHABLE, words="the service is stopping")

    def close(self) -> None:
        """Close all connections and end the renewal."""
        self.credentials.close()
        with self._lock:
            self._closed = True
            for client in self._made.values():
                client.close()
        self._exchange.close()
