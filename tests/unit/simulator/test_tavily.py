"""The pages that the search makes up."""

from __future__ import annotations

from app.simulator.injections import FORBIDDEN_TOOLS, FOREIGN_HOSTS, PAGES
from app.simulator.tavily import find_pages


def test_same_query_finds_the_same_pages() -> None:
    pages = find_pages("solar power", limit=5, hostile=False)
    assert pages == find_pages("solar power", limit=5, hostile=False)
    assert len(pages) == len({page["url"] for page in pages}) == 5
    assert all("solar power" in page["content"].lower() or "solar-power" in page["url"] for page in pages)


def test_queries_differ_in_order_and_address() -> None:
    first, second = (find_pages(query, limit=3, hostile=False) for query in ("bees", "tides"))
    assert not {page["url"] for page in first} & {page["url"] for page in second}


def test_hostile_pages_stand_behind_one_good_page() -> None:
    pages = find_pages("bees", limit=5, hostile=True)
    corpus = {page.url for page in PAGES}
    assert [page["url"] in corpus for page in pages] == [False, True, True, True, True]


def test_limit_is_kept() -> None:
    assert find_pages("bees", limit=0, hostile=False) == []


def test_every_attack_names_what_it_wants() -> None:
    assert len({page.attack for page in PAGES}) == len(PAGES) >= 10
    for page in PAGES:
        visible = "".join(chr(ord(c) - 0xE0000) if ord(c) > 0xE0000 else c for c in page.content)
        assert any(word in visible for word in FOREIGN_HOSTS | FORBIDDEN_TOOLS), page.attack
        assert not any(host in page.url for host in FOREIGN_HOSTS)
