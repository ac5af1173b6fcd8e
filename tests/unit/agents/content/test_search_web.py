"""The numbering of pages that the search returned."""

from __future__ import annotations

from app.agents.content.search_web import MAX_SOURCES, number_sources
from app.agents.content.state import Source
from app.agents.testing import build_hit


def test_each_page_is_numbered_once_and_all_queries_have_their_share() -> None:
    first = [build_hit(f"https://one.net/{number}") for number in range(MAX_SOURCES)]
    second = [build_hit("http://one.net/0/"), build_hit("https://two.net/b"), build_hit("javascript://x/alert")]
    sources = number_sources([first, second])
    assert [source["number"] for source in sources] == list(range(1, MAX_SOURCES + 1))
    assert [source["url"] for source in sources][:3] == ["https://one.net/0", "https://one.net/1", "https://two.net/b"]


def test_new_pages_are_numbered_after_those_of_the_session_and_a_known_page_keeps_its_number() -> None:
    known = Source(number=2, title="Known", url="https://one.net/known", site="one.net", excerpt="")
    hits = [build_hit("https://two.net/b"), build_hit("http://www.one.net/known/#x"), build_hit("https://three.net/c")]
    sources = number_sources([hits], earlier=[known], first=4)
    assert [(source["number"], source["url"]) for source in sources] == [
        (4, "https://two.net/b"),
        (2, "https://one.net/known"),
        (5, "https://three.net/c"),
    ]
    assert [source["excerpt"] for source in sources] == ["An excerpt."] * 3
