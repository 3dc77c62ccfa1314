"""The thumbprint by which AWS knows an issuer whose certificate is from an authority that isn't publicly trusted."""

from __future__ import annotations

import hashlib
import socket
import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click

from extaudit_cli.text import visible

_SECONDS: Final = 10.0


class IssuerUnreachable(Exception):
    """The issuer can't be reached from this machine, which AWS may be able to."""


def thumbprint(issuer: str, authority: Path | None) -> str | None:
    """Lower-case hex SHA-1 of the last certificate that the issuer presents; None where AWS needs none.

    AWS needs none where the certificate is trusted by everyone: then it looks at that. `authority` is a PEM file with
    the authority of an issuer of one's own. Nothing is believed that isn't verified.

    Raises:
        IssuerUnreachable: there is no answer.
        click.ClickException: the certificate isn't trusted here.
    """
    parts = urlsplit(issuer)
    if parts.scheme != "https" or parts.hostname is None:
        return None
    context = ssl.create_default_context()
    if authority is not None:
        context = ssl.create_default_context(cafile=str(authority))
    try:
        with (
            socket.create_connection((parts.hostname, parts.port or 443), _SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=parts.hostname) as connection,
        ):
            # AWS compares exactly this digest.
            return hashlib.sha1(_presented(connection)[-1]).hexdigest() if authority is not None else None  # noqa: S324
    except ssl.SSLCertVerificationError as error:
        text = f"the issuer's certificate isn't trusted here ({error.verify_message})"
        advice = "if it is from an authority of your own, give its certificate by --issuer-ca"
        raise click.ClickException(visible(f"{text}; {advice}")) from None
    except OSError as error:
        raise IssuerUnreachable(visible(error.strerror or type(error).__name__)) from None


def _presented(connection: ssl.SSLSocket) -> list[bytes]:
    """The certificates that the other side presented, DER, its own first."""
    newer: Any = getattr(connection, "get_unverified_chain", None)  # since Python 3.13
    if newer is not None:
        return list(newer())
    older: Any = connection
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in older._sslobj.get_unverified_chain()]
