"""The index of the documentation lists every page once."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_index_links_every_page_once() -> None:
    links = re.findall(r"\]\(([\w-]+\.md)\)", (DOCS / "README.md").read_text())
    assert sorted(links) == sorted(page.name for page in DOCS.glob("*.md") if page.name != "README.md")
