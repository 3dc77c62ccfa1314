"""Emitters of receipts: how they are written, and that what older versions wrote stays readable."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from rbac.identities import Identity, IdentityKind
from server.audit_log.batch_record import BatchRecord, ReceiptTable, encode_receipts, tail_receipt
from server.audit_log.receipts import Emitter, decode_emitter, encode_emitter
from server.audit_log.tail import ANY_TIME, TailBlock
from server.audit_log.validation import Validator, joined_payloads

BY_CERTIFICATE = Identity(IdentityKind.USER, "alice", frozenset({"r"}), "aa", "5e")
BY_TOKEN = Identity(IdentityKind.USER, "alice@https://id.test", frozenset({"r"}), "https://id.test", token_id="t-1")
NODE = Identity(IdentityKind.COMPONENT, "node-1", frozenset({"Node"}), "bb", "5f")
PROXY_AND_NODE = Identity(IdentityKind.COMPONENT, "proxy-1", frozenset({"Proxy", "Node"}), "bb", "60")
USER_WITH_ROLE_OF_COMPONENTS = replace(BY_CERTIFICATE, roles=frozenset({"Proxy"}))
VALIDATOR = Validator(b"secret", 1_000)
PEER = "ipv4:127.0.0.1:5"


def test_an_emitter_with_a_certificate_is_written_as_before_there_were_tokens() -> None:
    assert orjson.loads(encode_emitter(BY_CERTIFICATE, PEER)) == ["user", "alice", "aa", "5e", PEER]


@pytest.mark.parametrize(
    ("who", "roles"), [(BY_CERTIFICATE, ()), (BY_TOKEN, ()), (NODE, ()), (PROXY_AND_NODE, ("Proxy",))]
)
def test_an_emitter_is_read_as_it_was_written(who: Identity, roles: tuple[str, ...]) -> None:
    expected = Emitter(who.kind.value, who.name, who.trust_anchor, who.certificate_serial, who.token_id, roles)
    assert decode_emitter(orjson.loads(encode_emitter(who, PEER))) == (expected, PEER)


@pytest.mark.parametrize("who", [BY_CERTIFICATE, USER_WITH_ROLE_OF_COMPONENTS, NODE])
def test_the_receipt_of_whoever_vouches_for_no_session_is_written_as_before_there_were_roles(who: Identity) -> None:
    assert len(orjson.loads(encode_emitter(who, PEER))) == 5


def test_a_batch_record_may_hold_emitters_of_both_kinds() -> None:
    block = VALIDATOR.validate(joined_payloads([b'{"event":"e"}'] * 2), BY_TOKEN, 1_000).block
    callers = (BY_CERTIFICATE, BY_TOKEN)
    blocks = [
        TailBlock(first, 1_000, encode_emitter(who, PEER), block) for first, who in zip((1, 3), callers, strict=True)
    ]
    record = BatchRecord("log", 1, 4, "default", "", (), (), encode_receipts(blocks))
    table = ReceiptTable(BatchRecord.decode(record.encode()))
    rows = [row for item in blocks for row in item.rows(*ANY_TIME)]
    assert [table.receipt(n) for n in (1, 2, 3, 4)] == [tail_receipt(row, "default", "log") for row in rows]
    assert [table.emitter(n).token_id for n in (1, 2, 3, 4)] == ["", "", "t-1", "t-1"]


def test_another_token_is_no_other_identity_and_another_issuer_is() -> None:
    assert replace(BY_TOKEN, token_id="t-2").key == BY_TOKEN.key
    assert replace(BY_TOKEN, trust_anchor="https://other.test").key != BY_TOKEN.key
