"""Where the service is and who calls: the channel, with mutual TLS or with a token."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from extaudit_client.async_channel import AsyncRenewingChannel
from extaudit_client.certificate_files import CertificateFiles
from extaudit_client.channel import RenewingChannel
from extaudit_client.errors import ConnectionFailed
from extaudit_client.renewal import Renewal

MAX_RECEIVE_BYTES = 20 * 1024 * 1024

# The service takes a ping every 10 s. What stands between may take fewer and hang up; the C library then pings half as
# often. A process that stands still was not noticed by pings when it was tried (SIGSTOP, grpcio 1.85): streams are
# therefore given up by `patience`, and calls by their time.
_KEEPALIVE_MS = 30_000
_KEEPALIVE_TIMEOUT_MS = 20_000


@dataclass(frozen=True, slots=True)
class Connection:
    """An address (`host:port`), and the PEM files for mutual TLS or a file with a bearer token.

    `server_name` is the name to expect in the server's certificate when it isn't the address's host. With `token_file`
    neither `cert` nor `key` is read.
    """

    address: str
    ca: Path
    cert: Path | None = None
    key: Path | None = None
    server_name: str = ""
    token_file: Path | None = None

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] = os.environ, data_dir: Path | None = None, **given: Any
    ) -> Connection:
        """Find address and files as the command line does; `files.find_connection` says in which order, and raises.

        `given` are members of a connection; `data_dir` is EXTAUDIT_DATA_DIR, or else `data`.
        """
        from extaudit_client.files import DEFAULT_DATA_DIR, find_connection  # which makes connections

        folder = data_dir or Path(environment.get("EXTAUDIT_DATA_DIR") or DEFAULT_DATA_DIR)
        return find_connection(environment, folder, **given)

    @classmethod
    def from_data_dir(cls, data_dir: Path, **given: Any) -> Connection:
        """Find address and files in a service's data directory, whatever the environment says."""
        return cls.from_environment({}, data_dir, **given)

    def channel(self) -> grpc.Channel:
        """Open a channel; it connects with the first call. Renewed files are used from the next call on.

        Raises:
            ConnectionFailed: a file can't be read, or isn't what it should be. A token file is read with every call.
        """
        renewal = Renewal(
            self._files(), lambda given: grpc.secure_channel(self.address, given, options=self._options())
        )
        return RenewingChannel(renewal, self.token_file)

    def async_channel(self) -> grpc.aio.Channel:
        """Open a channel for asyncio, as `channel` does."""
        renewal = Renewal(
            self._files(), lambda given: grpc.aio.secure_channel(self.address, given, options=self._options())
        )
        return AsyncRenewingChannel(renewal, self.token_file)

    def _files(self) -> CertificateFiles:
        if self.token_file is not None:
            return CertificateFiles(self.ca, None, None)
        if self.cert is None or self.key is None:
            raise ConnectionFailed("a certificate and its key, or a token file, are needed", "FAILED_PRECONDITION")
        return CertificateFiles(self.ca, self.cert, self.key)

    def _options(self) -> list[tuple[str, int | str]]:
        options: list[tuple[str, int | str]] = [
            ("grpc.max_receive_message_length", MAX_RECEIVE_BYTES),
            ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
            ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ]
        if self.server_name:
            options.append(("grpc.ssl_target_name_override", self.server_name))
        if is_loopback(self.address):
            # A proxy of the environment can't reach this machine's own loopback.
            options.append(("grpc.enable_http_proxy", 0))
        return options


def is_loopback(address: str) -> bool:
    """Tell whether an address is on this machine's loopback."""
    host = address.rpartition(":")[0]
    return host in ("localhost", "[::1]") or host.startswith("127.")
