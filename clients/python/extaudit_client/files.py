"""Where address and files are found: what is given, the environment, then the data directory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from extaudit_client.connection import Connection
from extaudit_client.errors import ConnectionFailed

DEFAULT_ADDRESS = "127.0.0.1:9443"
DEFAULT_DATA_DIR = Path("data")

_MAX_READY_BYTES = 64 * 1024
_DEFAULT_NAMES = {"ca": "ca.crt", "cert": "admin.crt", "key": "admin.key"}
# A server that listens everywhere is reached on this machine by its loopback address.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 (compared with, never bound)


def find_connection(
    environment: Mapping[str, str],
    data_dir: Path = DEFAULT_DATA_DIR,
    *,
    address: str | None = None,
    ca: Path | None = None,
    cert: Path | None = None,
    key: Path | None = None,
    server_name: str = "",
    token_file: Path | None = None,
) -> Connection:
    """Settle each of address, CA, certificate and key by itself, or of address, CA and token file.

    Order: the argument; EXTAUDIT_ADDRESS, EXTAUDIT_CA, EXTAUDIT_CERT, EXTAUDIT_KEY; `<data_dir>/ready.json` of a
    running server; `<data_dir>/identity/` and 127.0.0.1:9443. A token file is used if it is given, or is named by
    EXTAUDIT_TOKEN_FILE and no certificate or key is given; the listener for tokens is then looked for in ready.json.

    Raises:
        ConnectionFailed: the address isn't host:port, ready.json can't be read, a token file and a certificate come
            from the same source, or no listener for tokens is known.
    """
    ready = _ready(data_dir / "ready.json")
    token = _token_file(environment, token_file, has_certificate=bool(cert or key))

    def path(name: str, given: Path | None) -> Path:
        found = given or environment.get(f"EXTAUDIT_{name.upper()}") or ready.get(name)
        return Path(found) if found else data_dir / "identity" / _DEFAULT_NAMES[name]

    if token is not None:
        found = address or environment.get("EXTAUDIT_ADDRESS") or ready.get("grpc_token")
        if not found:
            message = "no listener for tokens is known here: give its address, or start the service with one"
            raise ConnectionFailed(message, "FAILED_PRECONDITION")
        return Connection(_checked(found), path("ca", ca), server_name=server_name, token_file=token)
    found = address or environment.get("EXTAUDIT_ADDRESS") or ready.get("grpc") or DEFAULT_ADDRESS
    return Connection(_checked(found), path("ca", ca), path("cert", cert), path("key", key), server_name)


def _token_file(environment: Mapping[str, str], given: Path | None, *, has_certificate: bool) -> Path | None:
    """The token file to use, None for a certificate. What is given goes before the environment, as with all else."""
    named = environment.get("EXTAUDIT_TOKEN_FILE")
    if given is None and not has_certificate:
        given = Path(named) if named else None
        has_certificate = bool(environment.get("EXTAUDIT_CERT") or environment.get("EXTAUDIT_KEY"))
    if given is not None and has_certificate:
        raise ConnectionFailed("use a token file or a certificate with its key, not both", "INVALID_ARGUMENT")
    return given


def _checked(address: str) -> str:
    host, _, port = address.rpartition(":")
    bare_ipv6 = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not host or bare_ipv6 or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConnectionFailed(
            "the address must be host:port, such as 127.0.0.1:9443 or [::1]:9443", "INVALID_ARGUMENT"
        )
    return f"{_EVERYWHERE.get(host, host)}:{port}"


def _ready(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(_MAX_READY_BYTES))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConnectionFailed(f"can't read {path}", "FAILED_PRECONDITION") from error
    if not isinstance(value, dict):
        raise ConnectionFailed(f"{path} holds no JSON object", "FAILED_PRECONDITION")
    return {name: text for name, text in value.items() if isinstance(text, str) and text}
