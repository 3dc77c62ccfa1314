"""A botocore session that takes nothing from its surroundings: no variable, no profile, no file, no metadata service.

botocore is imported here and nowhere before: a service without an external storage never loads it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.storage.aws.store import AWS, Store

if TYPE_CHECKING:
    from botocore.config import Config
    from botocore.session import Session


_CHECKSUM = "x-amz-checksum-sha256"
BLOCK_BYTES = 512 * 1024
"""What botocore takes of a body at once and hands to TLS. It would be 128 KiB, each with two changes of threads."""


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """How AWS is reached; the section `aws` of the configuration. Times are seconds."""

    endpoint: str | None = None
    """URL of every service; None for AWS's own of the region."""
    s3_endpoint: str | None = None
    """URL of S3 alone; it goes before `endpoint`."""
    s3_path_style: str = "auto"
    """`always`, `never`, or `auto`: as botocore sees fit for the endpoint."""
    ca: str | None = None
    """PEM file that servers are checked against; None for the CAs that come with botocore."""
    proxy: str | None = None
    """URL of an HTTP proxy."""
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    attempts: int = 4
    """How often a call is sent at most."""
    connections: int = 16
    """Most connections that a client keeps."""
    store: Store = AWS
    """What S3 can do."""


class _OneProvider:
    """Stands where botocore looks for credentials: there is this one place and no other."""

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials

    def load_credentials(self) -> Any:
        return self._credentials


class _NoTokens:
    def load_token(self, **_: object) -> None:
        return None


def closed_session(credentials: Any) -> Session:
    """A session whose clients sign with `credentials`; None where nothing is signed."""
    from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, ConstantProvider
    from botocore.loaders import Loader
    from botocore.session import Session

    session = Session()
    for name, (_, _, default, cast) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items():
        session.session_var_map[name] = (None, None, default, cast)
    for name in ("config_file", "credentials_file"):
        session.session_var_map[name] = (None, None, os.devnull, None)
    session.get_component("config_store").set_config_provider("s3", ConstantProvider(None))
    session.register_component("credential_provider", _OneProvider(credentials))
    session.register_component("token_provider", _NoTokens())
    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    session.register_component("data_loader", loader)
    return session


def client_config(settings: AwsSettings, region: str, **others: Any) -> Config:
    """The whole configuration of a client; `others` go before what the settings say."""
    from botocore.config import Config

    style = {"always": "path", "never": "virtual", "auto": "auto"}[settings.s3_path_style]
    values: dict[str, Any] = {
        "region_name": region,
        "connect_timeout": settings.connect_timeout,
        "read_timeout": settings.read_timeout,
        "retries": {"mode": "standard", "total_max_attempts": settings.attempts},
        "max_pool_connections": settings.connections,
        "proxies": {"http": settings.proxy, "https": settings.proxy} if settings.proxy else {},
        "s3": {"addressing_style": style},
        "ignore_configured_endpoint_urls": True,
        "defaults_mode": "legacy",
        "use_dualstack_endpoint": False,
        "use_fips_endpoint": False,
        "account_id_endpoint_mode": "disabled",
        # A checksum is sent where the service gives one, SHA-256; none is made up of another kind beside it.
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_supported",
        "user_agent_extra": "extaudit",
    }
    return Config(**(values | others))


def endpoint_of(settings: AwsSettings, service: str) -> str | None:
    """The URL that a service is configured to be at; None for AWS's own."""
    return (settings.s3_endpoint if service == "s3" else None) or settings.endpoint


def make_client(session: Session, service: str, settings: AwsSettings, config: Config) -> Any:
    """A client of one service."""
    from botocore import httpsession

    httpsession.BUFFER_SIZE = BLOCK_BYTES  # nothing else sets it
    url = endpoint_of(settings, service)
    client = session.create_client(
        service, endpoint_url=url, config=config, region_name=config.region_name, verify=settings.ca or True
    )
    client.meta.events.register("before-sign.s3", _tell_of_checksum)
    return client


def _tell_of_checksum(request: Any, **_: Any) -> None:
    """Have botocore know of the checksum that we give with a body: else it hashes, and so reads, the body once more to
    sign it. The checksum's header is signed, and it does so without TLS all the same."""
    if _CHECKSUM in request.headers:
        request.context["checksum"] = {"request_algorithm": {"in": "header", "name": _CHECKSUM}}
