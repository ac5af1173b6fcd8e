"""Citations are a subset of what the search returned, whatever the model writes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agents.content.citations import CheckedText, assemble, check
from app.agents.content.links import find_addresses, url_key
from app.agents.content.state import SearchOutcome, Source

URLS = ("https://one.net/a", "https://two.net/b?x=1", "https://three.net/c_(d)")
SOURCES = [
    Source(number=number, title=f"Page {number}", url=url, site=url.split("/")[2], excerpt="…")
    for number, url in enumerate(URLS, 1)
]


def checked(text: str, *, task: str = "Write") -> CheckedText:
    return check(text, sources=SOURCES, task=task)


@pytest.mark.parametrize(
    ("text", "expected", "cited", "dropped"),
    [
        ("A [2]. B [1].", "A [1]. B [2].", [2, 1], 0),
        ("A [1][3], B [1, 3], C [1-3].", "A [1][2], B [1][2], C [1][3][2].", [1, 3, 2], 0),
        ("A [9]. B [1].", "A. B [1].", [1], 1),
        ("A [1, 9].", "A [1].", [1], 1),
        ("A [0] and [^2].", "A and [1].", [2], 1),
        ("A ([page](https://one.net/a)).", "A (page [1]).", [1], 0),
        ("A [https://one.net/a](https://one.net/a/).", "A [1].", [1], 0),
        ("A [1](https://one.net/a#part).", "A [1].", [1], 0),
        ("A https://three.net/c_(d).", "A [1].", [3], 0),
        ("A [page](http://evil.net).", "A page.", [], 1),
        ("A [1](http://evil.net).", "A .", [], 1),
        ("A http://evil.net/x, B.", "A (link removed), B.", [], 1),
        ("![Chart](http://evil.net/pixel.png) A", "Chart A", [], 1),
        ("A [run](javascript:alert(1)).", "A run.", [], 1),
        ("A [1].\n\n[1]: http://evil.net\n", "A [1].", [1], 1),
        ("A [part](#part) at http://localhost:8080/x", "A [part](#part) at http://localhost:8080/x", [], 0),
        ("`a[9]` and\n```\nb[7] = c[1]\n```", "`a[9]` and\n```\nb[7] = c[1]\n```", [], 0),
        ("```\ncurl http://evil.net/x\n```", "```\ncurl (link removed)\n```", [], 1),
        ("```\ncurl https://one.net/a\n```", "```\ncurl https://one.net/a\n```", [], 0),
        ("A [2].\n\n## Sources\n1. Page 1 [1]\n", "A [1].", [2], 0),
        ("In [2024] it was.", "In [2024] it was.", [], 0),
    ],
)
def test_what_may_stay(text: str, expected: str, cited: list[int], dropped: int) -> None:
    result = checked(text)
    assert (result.text, [source["number"] for source in result.cited], result.dropped) == (expected, cited, dropped)


def test_an_address_from_the_users_own_text_stays_but_is_no_citation() -> None:
    result = checked("Sign up at https://acme.net/join now.", task="A landing page for https://acme.net/join please")
    assert (result.text, result.cited, result.dropped) == ("Sign up at https://acme.net/join now.", (), 0)


@pytest.mark.parametrize(
    "trick",
    [
        "ht[9]tp://evil.net",
        "http:[9]//evil.net",
        "ht[tp://e](http://x.net)vil.net",
        "[a]([b](http://x.net)http://evil.net)",
        "http<http://x.net>://evil.net",
        "https://one.net/a@evil.net",
        "https://one.net/a,http://evil.net",
        "<a href='http://evil.net'>x</a>",
        "[x]: <http://evil.net> 'title'",
        "![][9](http://evil.net)",
        "``http://evil.net`",
        "HTTP://EVIL.NET and www.evil.net",
    ],
)
def test_removing_one_thing_never_uncovers_an_address(trick: str) -> None:
    result = checked(trick)
    assert not [address for address in find_addresses(result.text) if "evil" in address.lower()]
    assert result.cited == ()
    assert result.dropped > 0


FRAGMENTS = st.sampled_from(
    [
        *URLS,
        *(f"[{number}]" for number in (0, 1, 2, 3, 4, 99)),
        *("[1, 7]", "[2-5]", "[", "]", "(", ")", "](", "<", ">", "!", " ", "\n", "`", "```\n", "^", ":", "//"),
        *("http", "https://", "http://evil.net", "www.evil.net/x", "[x](http://evil.net)", "[1]: http://evil.net\n"),
        *("word", "evil.net", "## Sources\n", "- ", "1. "),
    ]
)
TEXTS = st.lists(FRAGMENTS, max_size=14).map("".join)


@given(TEXTS)
def test_citations_and_addresses_are_what_the_search_returned(text: str) -> None:
    result = checked(text)
    assert {source["url"] for source in result.cited} <= set(URLS)
    known = {url_key(url) for url in URLS}
    assert {url_key(address) for address in find_addresses(result.text)} <= known


@given(TEXTS.filter(lambda text: "`" not in text))
def test_every_number_in_the_text_is_a_citation_and_every_citation_has_its_number(text: str) -> None:
    result = checked(text)
    numbers = {int(number) for number in re.findall(r"\[(\d{1,3})\](?!\()", result.text)}
    assert numbers == set(range(1, len(result.cited) + 1))


@given(TEXTS)
def test_without_sources_nothing_is_cited(text: str) -> None:
    result = check(text, sources=[], task="Write")
    assert result.cited == ()
    assert not find_addresses(result.text)


def test_a_long_hostile_text_is_checked_in_time() -> None:
    for piece in ("[", "![", "[[", "](", "(", "`", "[x](", "http://evil.net/(", "[1,", "\n## Sources\n"):
        checked(piece * (60_000 // len(piece)))


def test_the_cited_sources_are_listed_under_the_text() -> None:
    assert assemble(checked("A [2]."), outcome=SearchOutcome.SEARCHED) == (
        "A [1].\n\n## Sources\n\n1. Page 2 — https://two.net/b?x=1"
    )


@pytest.mark.parametrize(
    "outcome", [SearchOutcome.NOT_CONFIGURED, SearchOutcome.UNAVAILABLE, SearchOutcome.NOTHING_FOUND]
)
def test_a_text_without_a_search_begins_with_the_reason(outcome: SearchOutcome) -> None:
    content = assemble(check("A.", sources=[], task=""), outcome=outcome)
    assert content.startswith("> **Written without a web search**, because ")
    assert content.endswith("\n\nA.")


def test_a_text_that_needs_no_search_has_no_note() -> None:
    assert assemble(check("A poem.", sources=[], task=""), outcome=SearchOutcome.NOT_NEEDED) == "A poem."
