from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from extaudit_cli.main import run

from tests.unit.client.certificates import Pki, make_pki
from tests.unit.client.fake_service import FakeService, serve


@dataclass(frozen=True)
class Outcome:
    code: int
    out: bytes
    err: str


Command = Callable[..., Outcome]


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("cli") / "pki")


@pytest.fixture
def service(pki: Pki) -> Iterator[FakeService]:
    with serve(FakeService(), pki) as fake:
        yield fake


@pytest.fixture(autouse=True)
def config_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for profiles, which nobody's own get into."""
    folder = tmp_path / "config"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    monkeypatch.delenv("EXTAUDIT_PROFILE", raising=False)
    return folder


@pytest.fixture
def extaudit(
    service: FakeService, pki: Pki, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Command:
    """Run a command against the fake service; what it prints is taken at the file descriptors."""
    for name, value in (("ADDRESS", service.address), ("CA", pki.ca), ("CERT", pki.cert), ("KEY", pki.key)):
        monkeypatch.setenv(f"EXTAUDIT_{name}", str(value))

    def call(*arguments: str) -> Outcome:
        capfdbinary.readouterr()
        code = run(list(arguments))
        captured = capfdbinary.readouterr()
        return Outcome(code, captured.out, captured.err.decode())

    return call
