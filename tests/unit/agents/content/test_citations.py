"""Citations are a subset of what the search returned, whatever the model writes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agents.content.citations import assemble, check
from app.agents.content.links import find_addresses, url_key
from app.agents.content.state import SearchOutcome, Source
from app.agents.content.text_check import CheckedText

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
        ("A [1, 9].", "A [1, 9].", [], 0),
        ("A [0] and [^2].", "A [0] and [1].", [2], 0),
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
        ("A [part](#part) at http://api.example.com/x", "A [part](#part) at http://api.example.com/x", [], 0),
        ("A http://localhost:8080/x", "A (link removed)", [], 1),
        (
            "A evil.net/login, evil.net:8080 and www.evil.net.",
            "A (link removed), (link removed) and (link removed).",
            [],
            3,
        ),
        ("A www.one.net/a/?utm_source=x#y.", "A [1].", [1], 0),
        ("`http://localhost:8080/x`", "`http://localhost:8080/x`", [], 0),
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


@pytest.mark.parametrize(
    ("address", "task"),
    [
        ("http://localhost:8080/x", "Test http://localhost:8080/x"),
        ("http://localhost:8080/x", "Test localhost:8080/x"),
        ("http://192.168.0.7/login", "My router is at 192.168.0.7/login"),
        ("https://acme.net", "A page for acme.net"),
        ("<mailto:me@acme.net>", "Write to me@acme.net"),
    ],
)
def test_an_address_of_this_network_stays_only_if_the_user_named_it(address: str, task: str) -> None:
    assert checked(f"See {address} now.", task=task).text == f"See {address} now."
    assert checked(f"See {address} now.").text == "See (link removed) now."


def test_an_address_from_the_users_own_text_stays_but_is_no_citation() -> None:
    result = checked("Sign up at https://acme.net/join now.", task="A landing page for https://acme.net/join please")
    assert (result.text, result.cited, result.dropped) == ("Sign up at https://acme.net/join now.", (), 0)


@pytest.mark.parametrize(
    "trick",
    [
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


def links_of(text: str) -> list[str]:
    """Returns the addresses that a reader could follow.

    In code one without a scheme is none of them: nothing makes a link of it there, and it may be the name of a package.
    """
    return [address for address in find_addresses(text) if "`" not in text or "://" in address]


@given(TEXTS)
def test_citations_and_addresses_are_what_the_search_returned(text: str) -> None:
    result = checked(text)
    assert {source["url"] for source in result.cited} <= set(URLS)
    assert {url_key(address) for address in links_of(result.text)} <= {url_key(url) for url in URLS}


@given(TEXTS.filter(lambda text: "`" not in text))
def test_every_citation_has_its_number_in_the_text(text: str) -> None:
    result = checked(text)
    numbers = {int(number) for number in re.findall(r"\[(\d{1,3})\]", result.text)}
    assert numbers >= set(range(1, len(result.cited) + 1))


@given(TEXTS.filter(lambda text: "`" not in text and "    " not in text))
def test_every_number_after_a_space_is_a_citation(text: str) -> None:
    result = checked(text)
    numbers = {int(number) for number in re.findall(r"(?:^|(?<=\s))\[([1-9]\d{0,2})\](?=\s|$)", result.text)}
    assert numbers <= set(range(1, len(result.cited) + 1))


@given(TEXTS)
def test_without_sources_nothing_is_cited(text: str) -> None:
    result = check(text, sources=[], task="Write")
    assert result.cited == ()
    assert not links_of(result.text)


def test_a_long_hostile_text_is_checked_in_time() -> None:
    for piece in ("[", "![", "[[", "](", "(", "`", "[x](", "http://evil.net/(", "[1,", "\n## Sources\n", "Sources: 1"):
        checked(piece * (60_000 // len(piece)))


PLAIN = "The interval [0, 1] contains x. See a[10]."
MATHS = (
    "x in [0, 1], arr[2], [1, 2]^T, f(x)[1], x ∈ [1, 2], A = [3], m[1][2], the range [1-3], sin²(x), 10³ m², "
    "the vector [1, 2], $\\sqrt[3]{x}$"
)


@pytest.mark.parametrize("text", [PLAIN, MATHS])
def test_brackets_that_cite_nothing_stay(text: str) -> None:
    for sources in ([], SOURCES):
        result = check(text, sources=sources, task="Write")
        assert (result.text, result.cited, result.dropped) == (text, (), 0)


def test_numbers_of_the_users_own_text_stay_if_there_are_no_sources() -> None:
    task = "Improve this: Tides is caused by the moon [1], it is well known [2]."
    result = check("Tides are caused by the moon [1], as is well known [2]. More [3].", sources=[], task=task)
    assert (result.text, result.dropped) == ("Tides are caused by the moon [1], as is well known [2]. More.", 1)


def test_the_list_of_the_users_own_text_stays_if_there_are_no_sources() -> None:
    own = "Die Gezeiten [1].\n\n## Literatur\n\n1. Schmidt, 2020"
    assert check(own, sources=[], task="Translate: Tides [1].\n\n## References\n\n1. Schmidt, 2020").text == own
    assert check(own, sources=[], task="Write about tides").text == "Die Gezeiten."


BODY = "Tides rise [2]. They fall [1]."


@pytest.mark.parametrize(
    "listed",
    [
        "## Quellen\n\n1. Page 1 — https://one.net/a\n2. Page 2 — https://two.net/b?x=1",
        "**Références :**\n\n- [Page 1](https://one.net/a)",
        "## 参考文献\n\n[1] Page 1",
        "1. [Page 1](https://one.net/a)\n2. [Page 2](https://two.net/b?x=1)\n3. [Page 3](https://three.net/c_(d))",
        "Leer más:\n\n1. Page 2, two.net/b?x=1\n2. Page 1, https://www.one.net/a/ (accessed 3 May 2026)",
        "[^1]: Page 1, https://one.net/a\n[^2]: <https://two.net/b?x=1>",
    ],
)
def test_there_is_one_list_of_sources(listed: str) -> None:
    result = checked(f"{BODY}\n\n{listed}")
    assert (result.text, [source["number"] for source in result.cited]) == ("Tides rise [1]. They fall [2].", [2, 1])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Here:\n\n1. [Page 1](https://one.net/a)\n2. https://two.net/b?x=1", "Here:\n\n1. Page 1 [1]\n2. [2]"),
        (
            "My sources.\n\n## Sources\n\n1. [Page 1](https://one.net/a)\n2. https://two.net/b?x=1",
            "My sources.\n\n[1][2]",
        ),
        ("## Sources\n\n[2] Page 2\n[1] Page 1", "[1] Page 2\n[2] Page 1"),
    ],
)
def test_a_list_that_is_the_whole_answer_stays(answer: str, expected: str) -> None:
    result = checked(answer)
    assert result.text == expected
    assert len(result.cited) == 2


def test_a_list_of_links_with_words_of_its_own_is_content() -> None:
    listed = (
        "1. [Page 1](https://one.net/a): one of the few that explain in plain words why the moon pulls the sea so much"
    )
    assert checked(f"{BODY}\n\n{listed}").text.endswith("why the moon pulls the sea so much")


def test_the_checks_own_words_are_in_the_language_of_the_text() -> None:
    draft = "Die Gezeiten sind eine Folge der Anziehung, und das ist nicht neu [2]. Siehe evil.net/x."
    content = assemble(checked(draft), outcome=SearchOutcome.SEARCHED)
    assert "Siehe (Link entfernt)." in content
    assert content.endswith("\n\n## Quellen\n\n1. Page 2 — https://two.net/b?x=1")


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
