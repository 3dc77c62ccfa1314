"""One sandbox and one moto without patches for all tests of the sandbox; each test has names of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates_builder import CaShape
from tests.jwks_server import JwksServer
from tests.sandbox.running import Sandbox, running_sandbox
from tests.sandbox.token_issuer import Issuer, serving_issuer


@pytest.fixture(scope="package")
def secure_issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Issuer, JwksServer]]:
    """An issuer over TLS, which the sandbox trusts."""
    with serving_issuer(tmp_path_factory.mktemp("issuer"), plain=False) as serving:
        yield serving


@pytest.fixture(scope="package")
def sandbox(secure_issuer: tuple[Issuer, JwksServer]) -> Iterator[Sandbox]:
    """The patched one."""
    with running_sandbox(issuer_ca=secure_issuer[1].ca) as running:
        yield running


@pytest.fixture(scope="package")
def moto() -> Iterator[Sandbox]:
    """moto as it comes."""
    with running_sandbox(unpatched=True) as running:
        yield running


@pytest.fixture
def issuer(tmp_path: Path, sandbox: Sandbox) -> Iterator[Issuer]:
    """An issuer over plain HTTP on this machine, with keys of its own."""
    with serving_issuer(tmp_path) as (serving, _):
        sandbox.forget_keys()  # its port may be one that another had
        yield serving


@pytest.fixture
def certificates(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Certificate, key and authority of a server on this machine."""
    authority = CaShape().make()
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.pem)
    return (*authority.server().write(tmp_path, "server"), ca)
