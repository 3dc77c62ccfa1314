"""Page tokens say nothing to a caller with conditions, and none is given that would be refused."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from rbac.identities import Identity, IdentityKind
from server.audit_log.export.chunk import ChunkQuery
from server.audit_log.export.tokens import ChunkTokens, ListStart
from server.audit_log.search.query import SearchQuery, Watermark
from server.audit_log.search.tokens import PageStart, PageTokens
from server.errors import InvalidRequest
from server.storage.query import MOST_UID_BYTES, Filters, Position
from server.storage.value_tests import AllOf

ALICE = Identity(IdentityKind.USER, "alice", frozenset({"auditor"}), "anchor", "a1")
BOB = Identity(IdentityKind.USER, "bob", frozenset({"auditor"}), "anchor", "b1")
FREE, BOUND = SearchQuery(), SearchQuery(Filters(condition=AllOf(())))
START = PageStart(Position(1_795_003_200_123, "hidden-uid", "d" * 64), Watermark({"log": 7}, 3), "query")
TOKENS = PageTokens(b"k" * 32)


def test_a_token_of_a_caller_with_conditions_tells_nothing_of_where_its_page_ends() -> None:
    told = (b"1795003200123", b"hidden-uid", b"dddd")
    plain = base64.urlsafe_b64decode(TOKENS.encode(START, FREE, ALICE))
    assert all(part in plain for part in told)
    hidden = base64.urlsafe_b64decode(TOKENS.encode(START, BOUND, ALICE))
    assert not any(part in hidden + base64.urlsafe_b64decode(hidden[16:]) for part in told)


@pytest.mark.parametrize("made", [FREE, BOUND])
@pytest.mark.parametrize("asked", [FREE, BOUND])
def test_a_token_is_good_whatever_became_of_its_callers_rights_and_nobody_elses(
    made: SearchQuery, asked: SearchQuery
) -> None:
    token = TOKENS.encode(START, made, ALICE)
    assert TOKENS.decode(token, asked, ALICE) == START
    for query, caller, given in (
        (asked, BOB, token),
        (replace(asked, storage="other"), ALICE, token),
        (asked, ALICE, token[:-8] + "AAAAAAAA"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            TOKENS.decode(given, query, caller)
        assert refused.value.reason == "INVALID_PAGE_TOKEN"


@pytest.mark.parametrize("query", [FREE, BOUND])
def test_no_token_is_given_that_would_be_refused(query: SearchQuery) -> None:
    longest = replace(START, position=Position(1, "\x01" * MOST_UID_BYTES, "d" * 64))
    assert TOKENS.decode(TOKENS.encode(longest, query, ALICE), query, ALICE) == longest
    logs = {f"{number:0256}": number for number in range(1000)}
    with pytest.raises(InvalidRequest, match="watermark"):
        TOKENS.encode(replace(START, watermark=Watermark(logs, 3)), query, ALICE)


def test_no_token_of_a_list_of_chunks_is_given_that_would_be_refused() -> None:
    tokens = ChunkTokens(b"k" * 32)
    most = ListStart({f"{number:020x}": 2**63 - 1 for number in range(1_000)}, f"{0:020x}", 7)
    assert tokens.decode(tokens.encode(most, ChunkQuery(), ALICE), ChunkQuery(), ALICE) == most
    more = replace(most, complete={f"{number:020x}": 2**63 - 1 for number in range(1_200)})
    with pytest.raises(InvalidRequest, match="page_size: leaves chunks of more logs than a page token can hold"):
        tokens.encode(more, ChunkQuery(), ALICE)
