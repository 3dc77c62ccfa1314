"""Every command in a console block of the README and of docs/ does what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest
from extaudit_client.files import find_connection

from tests.docs import grpcurl
from tests.docs.walk import ROOT, walk

WITH_HOOKS = {"backup.md"}
"""Pages that tests of their own walk through."""
PAGES = sorted(
    page
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
    if "```console" in page.read_text() and page.name not in WITH_HOOKS
)


def test_there_are_pages() -> None:
    assert {"README.md", "tutorial.md"} <= {page.name for page in PAGES}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    def call_by_grpcurl() -> None:
        address = find_connection({}, tmp_path / "data").address
        given = {call: grpcurl.answers(call, tmp_path, address) for call in grpcurl.calls(page.read_text())}
        assert [call for call, answers in given.items() if not any(answers)] == []

    assert walk(page, tmp_path, {"grpcurl": call_by_grpcurl}) > 0
