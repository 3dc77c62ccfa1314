"""What all events of one emitter share."""

from __future__ import annotations

from dataclasses import replace

from server.audit_log.access import Access
from server.audit_log.emitter_bytes import EmitterTable
from server.audit_log.receipts import encode_emitter
from tests.unit.audit_log.emitters import NODE, USER


def test_each_emitter_and_each_address_has_its_own_bytes() -> None:
    table = EmitterTable()
    for identity in (USER, NODE, replace(USER, certificate_serial="ff"), USER):
        for peer in ("ipv4:1.2.3.4:5", "ipv4:1.2.3.4:6"):
            found = table.find(Access(identity, peer, "r"))
            assert found.identity is identity
            assert found.receipt == encode_emitter(identity, peer)


def test_an_identity_that_is_gone_is_not_taken_for_a_new_one() -> None:
    table = EmitterTable()
    for number in range(1000):
        identity = replace(USER, name=f"user-{number}")  # each may come to stand where the one before was
        assert table.find(Access(identity, "p", "r")).receipt == encode_emitter(identity, "p")


def test_what_is_remembered_is_bounded() -> None:
    table = EmitterTable(limit=10)
    for number in range(100):
        table.find(Access(USER, f"ipv4:1.2.3.4:{number}", "r"))
        assert len(table._known) <= 10
