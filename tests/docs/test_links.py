"""Pages lead where they say, to a heading where they name one, and every page is reached from the index."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.docs.walk import ROOT

DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("clients/*/*.md")])


def linked(page: Path) -> list[Path]:
    """What a page links to in this repository."""
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text())
    return [(page.parent / target).resolve() for target in targets]


def headings(page: Path) -> set[str]:
    """Of a page, as a link names them; those of one text have a number from the second on."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    seen: Counter[str] = Counter()
    found = set[str]()
    for heading in re.findall(r"^#+ (.+)$", text, re.M):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading.lower())
        name = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [str(target) for target in linked(page) if not target.exists()] == []
    named = re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", page.read_text())
    assert [
        f"{target}#{heading}"
        for target, heading in named
        if heading not in headings((page.parent / target).resolve() if target else page)
    ] == []


def test_the_index_has_every_page() -> None:
    assert {page.name for page in DOCS.glob("*.md")} - {"README.md"} <= {
        page.name for page in linked(DOCS / "README.md")
    }
