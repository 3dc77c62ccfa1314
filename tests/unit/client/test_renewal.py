"""Certificate files that are renewed on disk are used from the next call on, and calls under way go on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from extaudit_client import AsyncClient, Client, Connection
from extaudit_client.pem import is_pair, validities

from tests.loops import in_loop
from tests.polling import until
from tests.unit.client.certificates import Pki, make_pki, renew_client
from tests.unit.client.fake_service import FakeService, acknowledge_all, serve


@pytest.fixture
def own(tmp_path: Path) -> Pki:
    return make_pki(tmp_path / "pki")


@pytest.fixture
def fake(own: Pki) -> Iterator[FakeService]:
    with serve(FakeService(), own) as service:
        yield service


def connection_to(fake: FakeService, own: Pki) -> Connection:
    return Connection(fake.address, own.ca, own.cert, own.key)


def put(path: Path, data: bytes) -> None:
    """In place at once, as whatever renews certificates should do it."""
    part = path.with_suffix(".new")
    part.write_bytes(data)
    os.replace(part, path)


def renew(own: Pki, name: str) -> None:
    cert, key = renew_client(own, name)
    put(own.key, key)
    put(own.cert, cert)


def test_the_next_call_uses_the_new_certificate(fake: FakeService, own: Pki) -> None:
    with Client(connection_to(fake, own), timeout=60) as client:
        client.status()
        renew(own, "second")
        client.status()
        client.status()
    assert fake.callers == ["client", "second", "second"]


@in_loop
async def test_so_it_does_for_asyncio(fake: FakeService, own: Pki) -> None:
    async with AsyncClient(connection_to(fake, own), timeout=60) as client:
        await client.status()
        renew(own, "second")
        await client.status()
        assert [answer.count async for answer in client.emit_stream([b"1", b"2"])] == [2]
    assert fake.callers == ["client", "second"]


def test_half_of_a_pair_a_broken_file_or_none_changes_nothing(fake: FakeService, own: Pki) -> None:
    cert, key = renew_client(own, "second")
    old = own.key.read_bytes()
    with Client(connection_to(fake, own), timeout=60) as client:
        client.status()
        for data in (key, b"no PEM", b"", key[:100]):
            put(own.key, data)
            client.status()
        own.key.unlink()
        client.status()
        put(own.key, old)
        client.status()
        assert set(fake.callers) == {"client"}
        put(own.cert, cert)
        client.status()
        put(own.key, key)
        client.status()
    assert fake.callers[-2:] == ["client", "second"]


def test_a_stream_under_way_goes_on_over_the_channel_it_began_on(fake: FakeService, own: Pki) -> None:
    fake.emit_stream = acknowledge_all
    with Client(connection_to(fake, own), timeout=60) as client:
        answers = client.emit_stream((b"%d" % n for n in range(40)), batch_size=1, window=2)
        first = [next(answers) for _ in range(5)]
        for number in range(3):
            renew(own, f"next-{number}")
            client.status()
        assert len(first) + len(list(answers)) == 40
        assert fake.callers == ["next-0", "next-1", "next-2"]
        # Channels without calls are closed with the next call; that a call has ended is told a moment later.
        until(lambda: client.status() and not client._caller._channel._renewal._retired)


def test_validities_are_read_of_every_certificate(own: Pki) -> None:
    both = own.ca.read_bytes() + b"text between\n" + own.cert.read_bytes()
    found = validities(both)
    assert [round((end - begin).total_seconds() / 86400) for begin, end in found] == [4, 2]
    assert is_pair(own.cert, own.key)
    assert not is_pair(own.cert, own.server_key)
    der = own.cert.read_bytes().splitlines()
    for spoiled in (
        b"",
        b"-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----",
        b"\n".join([*der[:3], der[-1]]),
    ):
        with pytest.raises(ValueError):
            validities(spoiled)
