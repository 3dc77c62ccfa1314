"""The connection test's look at the issuer's documents: each way they may be wrong is told, and none decides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from server.external_storage.issuer_documents import check_issuer
from server.storage.connection import Outcome
from tests.loops import in_loop
from tests.sandbox.token_issuer import Issuer, serving_issuer
from tests.tokens_builder import jwks, rsa_key


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with serving_issuer(tmp_path_factory.mktemp("issuer")) as (serving, _):
        yield serving


WRONG: dict[str, tuple[dict[str, Any], bytes, str]] = {
    "another issuer": ({"issuer": "https://elsewhere.test", "jwks_uri": "{url}/.well-known/jwks-oidc"}, b"", "another"),
    "keys elsewhere": ({"issuer": "{url}", "jwks_uri": "{url}.elsewhere.test/keys"}, b"", "no key set of its own"),
    "no keys": ({"issuer": "{url}"}, b"", "no key set of its own"),
    "other keys": ({}, jwks(rsa_key("other")), "does not have the key"),
    "no key set": ({}, b"<html>", "could not be fetched"),
    "not there": ({"issuer": "{url}", "jwks_uri": "{url}/none"}, b"", "could not be fetched"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_them_is_a_warning(issuer: Issuer, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    document, keys, says = WRONG[name]
    told = {member: value.format(url=issuer.url) for member, value in document.items()}
    monkeypatch.setattr(issuer, "document", told)
    monkeypatch.setattr(issuer, "keys", keys)

    @in_loop
    async def check() -> None:
        found = await check_issuer(issuer.url, issuer.token())
        assert (found.outcome, found.wrong_setting) == (Outcome.WARNING, "issuer_url")
        assert says in found.detail
        assert found.remedy

    check()


@in_loop
async def test_right_ones_pass_and_a_url_where_nobody_answers_warns(issuer: Issuer) -> None:
    assert (await check_issuer(issuer.url, issuer.token())).outcome is Outcome.PASSED
    for nobody in ("http://127.0.0.1:9", "https://127.0.0.1:9/a"):
        assert (await check_issuer(nobody, issuer.token())).outcome is Outcome.WARNING


def test_documents_that_are_no_objects_warn(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer, "document", json.loads("[1]"))

    @in_loop
    async def check() -> None:
        assert (await check_issuer(issuer.url, issuer.token())).outcome is Outcome.WARNING

    check()
