"""The numbering of pages that the search returned."""

from __future__ import annotations

from app.agents.content.search_web import MAX_SOURCES, number_sources
from app.agents.testing import build_hit


def test_each_page_is_numbered_once_and_all_queries_have_their_share() -> None:
    first = [build_hit(f"https://one.net/{number}") for number in range(MAX_SOURCES)]
    second = [build_hit("http://one.net/0/"), build_hit("https://two.net/b"), build_hit("javascript://x/alert")]
    sources = number_sources([first, second])
    assert [source["number"] for source in sources] == list(range(1, MAX_SOURCES + 1))
    assert [source["url"] for source in sources][:3] == ["https://one.net/0", "https://one.net/1", "https://two.net/b"]
