"""One sandbox for all tests of connections, and an account in it that is set up as planned."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server.lifecycle import App
from server.storage.aws.clients import AwsClients
from server.storage.aws.session import AwsSettings
from tests.account_under_test import Account, set_up
from tests.connection.served_account import serving
from tests.sandbox.running import Sandbox, running_sandbox
from tests.sandbox.token_issuer import Issuer, serving_issuer


@pytest.fixture(scope="package")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture(scope="package")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with serving_issuer(tmp_path_factory.mktemp("issuer")) as (serving, _):
        yield serving


@pytest.fixture(scope="package")
def made(sandbox: Sandbox, issuer: Issuer) -> Account:
    return set_up(sandbox, issuer, "audit")


@pytest.fixture(scope="package")
def clients(made: Account) -> Iterator[AwsClients]:
    """The role's own; making them takes longer than all checks."""
    settings = AwsSettings(endpoint=made.sandbox.endpoint, attempts=1)
    clients = AwsClients(made.spec.region, made.role_arn, made.issuer.token, settings)
    yield clients
    clients.close()


@pytest.fixture(scope="package")
def every_check(made: Account, clients: AwsClients) -> set[tuple[str, str]]:
    """Name and subject of every check of the account as it was set up."""
    made.role_clients = clients
    return {(check.name, check.subject) for check in made.check()}


@pytest.fixture
def account(made: Account, clients: AwsClients) -> Iterator[Account]:
    """The account, whose clients are made; what is in its long-term bucket is the same after each test."""
    made.role_clients = clients
    before = made.kept()
    yield made
    made.sandbox.clear_faults()
    assert made.kept() == before


@pytest.fixture(scope="package")
def served(sandbox: Sandbox, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, Account]]:
    """A whole service, with a draft of an account of its own."""
    with serving(sandbox, issuer, tmp_path_factory.mktemp("served")) as running:
        yield running
