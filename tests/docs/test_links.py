"""Pages lead where they say, and every page is reached from the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.walk import ROOT

DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def linked(page: Path) -> list[Path]:
    """What a page links to in this repository."""
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text())
    return [(page.parent / target).resolve() for target in targets]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [str(target) for target in linked(page) if not target.exists()] == []


def test_the_index_has_every_page() -> None:
    assert {page.name for page in DOCS.glob("*.md")} - {"README.md"} <= {
        page.name for page in linked(DOCS / "README.md")
    }
