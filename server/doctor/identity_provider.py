"""The service's own issuer: whether its keys can sign, and its documents are published as the state has them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from server.data_directory import DataDirectoryProblem
from server.doctor.data_at_hand import DataAtHand, unreadable_state
from server.doctor.findings import Fact, Fault, Finding, Severity, Told
from server.integrations.issuer_documents import configuration, key_set, paths_of
from server.integrations.key_life import active_of
from server.integrations.signing_keys import check_wrapping_key
from server.integrations.web_identity import issuer_of
from server.issuer_assembly import wrapping_key_file
from server.state.database import StateFault
from server.state.signing_keys import SigningKey
from server.tokens.jwks import JwksProblem
from server.tokens.sources import JwksUrl

_DAY_MS: Final = 86_400_000

WRAPPING_KEY_REFUSED: Final = Fault(
    "wrapping_key_refused",
    Severity.ERROR,
    "The wrapping key doesn't open the signing keys of the state; the server refuses to start.",
    "Put back the one that belongs to this state from the backup. If there is none, stop the service, remove the file, "
    "and run `extaudit identity forget-signing-keys`: the next start makes new keys, and AWS refuses the service until "
    "it has fetched them.",
)
UNREACHABLE: Final = Fault(
    "issuer_unreachable",
    Severity.ERROR,
    "The issuer's documents can't be fetched at issuer_url, so AWS can't either: it refuses the service.",
    "Look at http.public_listen and its certificate, at DNS, firewall and proxy of that name: AWS must reach it by "
    "https from the Internet. If it is only this machine that can't, look at it from outside.",
)
DIFFERS: Final = Fault(
    "issuer_documents_differ",
    Severity.ERROR,
    "What is published at issuer_url isn't what the state has: AWS refuses tokens of the keys that are missing there.",
    "Where others publish the documents, have them fetched anew, and within issuer.publish_ahead_seconds from then on. "
    "Else find out which server answers at that name, and look at it with its own state.",
)
UNPUBLISHED: Final = Fault(
    "issuer_not_published_here",
    Severity.NOTICE,
    "The service has no public listener: its documents must be published by others.",
    "Set http.public_listen, or make sure that copies are fetched anew within issuer.publish_ahead_seconds.",
)
NOT_FOR_AWS: Final = Fault(
    "issuer_not_for_aws",
    Severity.WARNING,
    "AWS takes no such issuer_url: it asks for https at port 443.",
    "Give the issuer a name that AWS can reach by https at port 443, then run `extaudit integrations aws-setup` again.",
)
KEY_OLD: Final = Fault(
    "signing_key_old",
    Severity.WARNING,
    "The key that signs is older than issuer.rotation_days, so it isn't rotated by itself.",
    "Start the server; if it runs, look in its log for why not, or run `extaudit integrations rotate-key`.",
)

FAULTS: Final = (WRAPPING_KEY_REFUSED, UNREACHABLE, DIFFERS, UNPUBLISHED, NOT_FOR_AWS, KEY_OLD)


def check(at: DataAtHand) -> Told:
    """Open the keys, look at their age, and fetch the documents where a server runs."""
    if at.config.issuer_url is None:
        yield Fact("issuer", "none")
        return
    issuer = issuer_of(at.config.issuer_url)
    yield Fact("issuer", issuer)
    parts = urlsplit(issuer)
    if parts.scheme != "https" or parts.port is not None:
        yield NOT_FOR_AWS.of(issuer)
    if at.config.http.public_listen is None:
        yield UNPUBLISHED.of(issuer)
    try:
        keys = at.state.signing_keys()
    except StateFault:
        raise unreadable_state() from None
    path = wrapping_key_file(at.config)
    try:
        check_wrapping_key(at.files, path, keys)
    except DataDirectoryProblem as problem:
        yield WRAPPING_KEY_REFUSED.of(path.name, str(problem))
    yield from _age(at, keys)
    if at.is_served() is not False:
        yield from _published(issuer, keys)


def _age(at: DataAtHand, keys: Sequence[SigningKey]) -> Told:
    active = active_of(keys)
    yield Fact("published keys", sum(key.is_published for key in keys))
    if active is None or active.activated_ms is None:
        return
    days = (at.now_ms - active.activated_ms) / _DAY_MS
    yield Fact("key signs for days", round(days, 1))
    if days > at.config.issuer.rotation_days + 1:
        yield KEY_OLD.of(active.key_id, f"signs for {days:.0f} days")


def _published(issuer: str, keys: Sequence[SigningKey]) -> Iterator[Finding]:
    wanted = configuration(issuer), key_set(key for key in keys if key.is_published)
    for path, document in zip(paths_of(issuer), wanted, strict=True):
        root = urlsplit(issuer)
        url = f"{root.scheme}://{root.netloc}{path}"
        try:
            found = asyncio.run(JwksUrl(url).read())
        except JwksProblem as problem:
            yield UNREACHABLE.of(url, str(problem).replace("the key set's server", "its server"))
            return
        if not _alike(found, document):
            yield DIFFERS.of(url)


def _alike(found: bytes, wanted: bytes) -> bool:
    """Whether two documents say the same; keys may be in any order."""
    try:
        one, other = json.loads(found), json.loads(wanted)
        if "keys" in other:
            return {_frozen(key) for key in one["keys"]} == {_frozen(key) for key in other["keys"]}
        return bool(one == other)
    except (ValueError, TypeError, KeyError, AttributeError):
        return False


def _frozen(key: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(key.items()))
