"""Where the service is and who calls: the channel, with mutual TLS or with a token."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from extaudit_client.errors import ConnectionFailed
from extaudit_client.token_file import TokenSender

MAX_RECEIVE_BYTES = 20 * 1024 * 1024

_MAX_FILE_BYTES = 1024 * 1024

# A server that wasn't told otherwise takes a ping every 300 s and hangs up on clients that ping more often;
# load balancers commonly forget connections that were silent for 350 s.
_KEEPALIVE_MS = 310_000
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

    def channel(self) -> grpc.Channel:
        """Open a channel; it connects with the first call.

        Raises:
            ConnectionFailed: a file can't be read, or isn't what it should be. A token file is read with every call.
        """
        authority = _read(self.ca, "CA certificate", b"CERTIFICATE")
        if self.token_file is not None:
            credentials = grpc.ssl_channel_credentials(authority)
            channel = grpc.secure_channel(self.address, credentials, options=self._options())
            return grpc.intercept_channel(channel, TokenSender(self.token_file))
        if self.cert is None or self.key is None:
            raise ConnectionFailed("a certificate and its key, or a token file, are needed", "FAILED_PRECONDITION")
        credentials = grpc.ssl_channel_credentials(
            authority,
            private_key=_read(self.key, "private key", b"PRIVATE KEY"),
            certificate_chain=_read(self.cert, "certificate", b"CERTIFICATE"),
        )
        return grpc.secure_channel(self.address, credentials, options=self._options())

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


def _read(path: Path, what: str, label: bytes) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ConnectionFailed(f"there is no {what} at {path}", "FAILED_PRECONDITION") from None
    except OSError as error:
        raise ConnectionFailed(f"can't read the {what} {path}: {error.strerror}", "FAILED_PRECONDITION") from error
    if len(data) > _MAX_FILE_BYTES or b"-----BEGIN " not in data or label not in data:
        raise ConnectionFailed(f"{path} holds no {what} in PEM form", "FAILED_PRECONDITION")
    return data
