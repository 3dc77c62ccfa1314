"""Rules over the settings of the service's own issuer and of the listener that publishes its documents."""

from __future__ import annotations

import os
from collections.abc import Iterator

from server.config.rules import Problem, parse_address, pem_problems
from server.config.sections import Config

_DAY_SECONDS = 86_400


def issuer_problems_of(config: Config) -> Iterator[Problem]:
    """Everything wrong with the part of a configuration that is about the issuer."""
    yield from _listener(config)
    yield from _certificate(config)
    issuer = config.issuer
    if issuer.rotation_days * _DAY_SECONDS < issuer.publish_ahead_seconds:
        text = "must be at least issuer.publish_ahead_seconds, or no next key would be ready in time"
        yield Problem("issuer.rotation_days", text)
    if issuer.wrapping_key is not None and not os.path.isfile(issuer.wrapping_key):
        yield Problem("issuer.wrapping_key", "the file isn't there or is not a regular file")


def _listener(config: Config) -> Iterator[Problem]:
    name, listen = "http.public_listen", config.http.public_listen
    if listen is None:
        return
    address = parse_address(listen)
    if address is None:
        yield Problem(name, "must be HOST:PORT or [IPv6]:PORT")
    elif not address.is_loopback and config.http.public_certificate is None:
        yield Problem(name, "needs http.public_certificate and http.public_key off loopback")
    if config.issuer_url is None:
        yield Problem(name, "needs issuer_url as well")
    others = (config.grpc.listen, config.grpc.token_listen, config.http.listen)
    if listen in others and not listen.endswith(":0"):
        yield Problem(name, "must be another address than those of the other listeners")


def _certificate(config: Config) -> Iterator[Problem]:
    certificate, key = config.http.public_certificate, config.http.public_key
    if (certificate is None) != (key is None):
        given, missing = ("certificate", "key") if key is None else ("key", "certificate")
        yield Problem(f"http.public_{given}", f"needs http.public_{missing} as well")
    if certificate is not None:
        yield from pem_problems("http.public_certificate", certificate)
    if key is not None:
        yield from pem_problems("http.public_key", key, is_key=True)
