"""The pages that an answer may lead to."""

from __future__ import annotations

import pytest

from app.agents.content.pages import Pages
from app.agents.content.state import Source

SOURCE = Source(number=3, title="A", url="https://one.net/a", site="one.net", excerpt="")
PAGES = Pages([SOURCE], user_text="About acme.net/join and http://localhost:8080/x")


@pytest.mark.parametrize("address", ["https://one.net/a", "www.one.net/a/", "http://one.net/a?utm_source=x#y"])
def test_a_source_is_known_by_all_ways_to_write_its_address(address: str) -> None:
    assert PAGES.number_of(address) == 3
    assert PAGES.is_allowed_in_code(address)


@pytest.mark.parametrize(
    "address", ["https://one.net/b", "https://one.net@evil.net/a", "", "#a", "javascript:one.net/a"]
)
def test_other_pages_have_no_number(address: str) -> None:
    assert PAGES.number_of(address) is None


@pytest.mark.parametrize("address", ["https://acme.net/join", "http://localhost:8080/x", "https://example.com/y"])
def test_pages_that_the_user_named_and_examples_may_be_shown(address: str) -> None:
    assert PAGES.is_allowed(address)


@pytest.mark.parametrize("address", ["https://acme.net/other", "http://localhost:9100/", "http://127.0.0.1/"])
def test_other_pages_of_the_same_host_may_not(address: str) -> None:
    assert not PAGES.is_allowed(address)


def test_code_may_name_this_machine() -> None:
    assert PAGES.is_allowed_in_code("http://localhost:9100/")
    assert not PAGES.is_allowed_in_code("https://evil.net/")
