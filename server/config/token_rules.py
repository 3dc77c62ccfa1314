"""Rules over the settings of the token listener and its issuers."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

from server.config.rules import Address, Problem, parse_address, pem_problems
from server.config.sections import Config, TokenIssuer

MAX_ISSUERS = 16
_ISSUERS = "grpc.token_issuers"


def token_problems_of(config: Config) -> Iterator[Problem]:
    """Everything wrong with the token listener's part of a configuration."""
    grpc = config.grpc
    if grpc.token_listen is not None:
        if parse_address(grpc.token_listen) is None:
            yield Problem("grpc.token_listen", "must be HOST:PORT or [IPv6]:PORT")
        elif grpc.token_listen == grpc.listen and not grpc.listen.endswith(":0"):
            yield Problem("grpc.token_listen", "must be another address than grpc.listen")
        elif not grpc.token_issuers:
            yield Problem("grpc.token_listen", f"needs at least one [[{_ISSUERS}]] in the file")
    elif grpc.token_issuers:
        yield Problem(_ISSUERS, "needs grpc.token_listen as well")
    if len(grpc.token_issuers) > MAX_ISSUERS:
        yield Problem(_ISSUERS, f"must be at most {MAX_ISSUERS}")
    if config.issuer_url is not None and fit_url(config.issuer_url) is None:
        yield Problem("issuer_url", "must be an https URL, or an http URL on loopback, without query and fragment")
    seen: set[str] = set()
    for number, issuer in enumerate(grpc.token_issuers):
        name = f"{_ISSUERS}[{number}]"
        yield from _issuer(name, issuer, seen, _place(config.issuer_url) if config.issuer_url else "")
        yield from _keys_and_claims(name, issuer)


def _issuer(name: str, issuer: TokenIssuer, seen: set[str], own: str) -> Iterator[Problem]:
    place = _place(issuer.issuer)
    if fit_url(issuer.issuer) is None:
        yield Problem(f"{name}.issuer", "must be an https URL, or an http URL on loopback, without query and fragment")
    if place in seen:
        yield Problem(f"{name}.issuer", "is listed twice")
    seen.add(place)
    # The service would take what it tells others for what others tell it.
    if own and place == own:
        yield Problem(f"{name}.issuer", "is the service's own issuer, whose tokens are never accepted")
    if own and issuer.jwks_url is not None and f"{_place(issuer.jwks_url)}/".startswith(f"{own}/"):
        yield Problem(f"{name}.jwks_url", "is at the service's own issuer, whose tokens are never accepted")


def _keys_and_claims(name: str, issuer: TokenIssuer) -> Iterator[Problem]:
    if (issuer.jwks_url is None) == (issuer.jwks_file is None):
        yield Problem(name, "needs either jwks_url or jwks_file")
    if issuer.jwks_url is not None:
        url = fit_url(issuer.jwks_url, query=True)
        if url is None:
            yield Problem(
                f"{name}.jwks_url",
                "must be an https URL, or an http URL on loopback, without user, password and fragment",
            )
        elif url.scheme == "http" and issuer.jwks_ca is not None:
            yield Problem(f"{name}.jwks_ca", "needs an https jwks_url")
    if not issuer.roles_claim:
        yield Problem(f"{name}.roles_claim", "must name a claim")
    if issuer.jwks_ca is not None:
        yield from pem_problems(f"{name}.jwks_ca", issuer.jwks_ca)
        if issuer.jwks_url is None:
            yield Problem(f"{name}.jwks_ca", "needs jwks_url as well")
    if issuer.jwks_file is not None:
        try:
            regular = stat.S_ISREG(os.stat(issuer.jwks_file).st_mode)
        except OSError as error:
            yield Problem(f"{name}.jwks_file", f"the file can't be read ({error.strerror})")
        else:
            if not regular:
                yield Problem(f"{name}.jwks_file", "is not a regular file")


def fit_url(text: str, *, query: bool = False) -> SplitResult | None:
    """The URL's parts, or None unless it is https, or http on loopback, with a host and without what can't be used."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        return None
    if not host or url.username is not None or "#" in text or ("?" in text and not query):
        return None
    loopback = url.scheme == "http" and Address(host, 0).is_loopback
    return url if url.scheme == "https" or loopback else None


def _place(text: str) -> str:
    """One spelling of URLs that differ in letter case of the host, the scheme's own port or a last slash."""
    url = fit_url(text, query=True)
    if url is None:
        return text
    port = "" if url.port in (None, {"https": 443, "http": 80}[url.scheme]) else f":{url.port}"
    return f"{url.scheme}://{url.hostname}{port}{url.path.rstrip('/')}"
