"""docs/connection-test.md lists every check that there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from server.external_storage.connection_tests import TIME_LIMIT
from server.external_storage.issuer_documents import ISSUER
from server.storage.aws.checks import buckets, credentials, prefixes, query, stores, table

PAGE = Path(__file__).parents[2] / "docs" / "connection-test.md"
CHECKS = {
    ISSUER, credentials.TOKEN, credentials.ROLE, credentials.ACCOUNT, *buckets.OF_BUCKETS, *prefixes.OF_PREFIXES,
    *table.OF_TABLES, *query.OF_QUERIES, *stores.OF_STORES, TIME_LIMIT,
}  # fmt: skip


def test_the_page_lists_every_check() -> None:
    listed = re.findall(r"^\| `([a-z.-]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == CHECKS


def test_every_name_of_a_check_in_the_code_is_one_of_these() -> None:
    modules = (buckets, credentials, prefixes, query, stores, table)
    pattern = re.compile(r'"((?:bucket|credentials|prefix|query|store|table)\.[a-z-]+)"')
    named = {name for module in modules for name in pattern.findall(Path(str(module.__file__)).read_text())}
    assert named <= CHECKS
