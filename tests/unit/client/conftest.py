from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from extaudit_client import Client, Connection, Emitter, Retries, patience

from tests.unit.client.certificates import Pki, make_pki
from tests.unit.client.fake_service import FakeService, serve
from tests.unit.client.silence import SilenceClock
from tests.unit.client.stored_events import FAST, Stored


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("client") / "pki")


@pytest.fixture
def service(pki: Pki) -> Iterator[FakeService]:
    with serve(FakeService(), pki) as fake:
        yield fake


@pytest.fixture
def connection(service: FakeService, pki: Pki) -> Connection:
    return Connection(service.address, pki.ca, pki.cert, pki.key)


@pytest.fixture
def waits() -> list[float]:
    """Seconds that the client waited before it opened a stream again."""
    return []


@pytest.fixture
def client(connection: Connection, waits: list[float]) -> Iterator[Client]:
    retries = Retries(attempts=2, wait=waits.append, draw=lambda low, high: low)
    with Client(connection, timeout=60, retries=retries) as opened:
        yield opened


@pytest.fixture
def silence_clock(monkeypatch: pytest.MonkeyPatch) -> SilenceClock:
    clock = SilenceClock()
    monkeypatch.setattr(patience, "time", clock)
    return clock


@pytest.fixture
def stored(service: FakeService) -> Stored:
    service.emit_stream = stored = Stored()
    return stored


@pytest.fixture
def emitter(connection: Connection, stored: Stored, tmp_path: Path) -> Iterator[Emitter]:
    with Emitter(connection, tmp_path / "spool", retries=FAST) as opened:
        yield opened
