"""Addresses in a text."""

from __future__ import annotations

import pytest

from app.agents.content.links import clean_title, find_addresses, is_citable, is_reserved, replace_addresses, url_key


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("See https://a.example/x.", ["https://a.example/x"]),
        ("(https://a.example/x_(y))", ["https://a.example/x_(y)"]),
        ("<https://a.example/>", ["https://a.example/"]),
        ("**HTTP://A.example**", ["HTTP://A.example"]),
        ("www.a.example/x, ftp://b.example", ["www.a.example/x", "ftp://b.example"]),
        ("http://[::1]/x", ["http://[::1]/x"]),
        ("hidden https://a.example/x,https://b.example", ["https://a.example/x,https://b.example"]),
        ("mongodb://a.example and a.example and http://", []),
    ],
)
def test_addresses_are_found_without_what_ends_the_sentence(text: str, addresses: list[str]) -> None:
    assert find_addresses(text) == addresses


def test_replacing_keeps_the_punctuation() -> None:
    assert replace_addresses("See https://a.example/x.", lambda _: "it") == "See it."


@pytest.mark.parametrize(
    "variant", ["http://a.example/x", "https://A.example/x/", "https://a.example/x#part", "www.b.example"]
)
def test_variants_of_one_page_have_one_key(variant: str) -> None:
    assert url_key(variant) in {url_key("https://a.example/x"), url_key("https://www.b.example")}


@pytest.mark.parametrize("other", ["https://a.example/y", "https://a.example/x?q=1", "https://a.example@evil.net/x"])
def test_other_pages_have_other_keys(other: str) -> None:
    assert url_key(other) != url_key("https://a.example/x")


@pytest.mark.parametrize("broken", ["http://[", "https://", "", "/path/only"])
def test_what_has_no_host_has_no_key(broken: str) -> None:
    assert url_key(broken) is None


def test_only_whole_web_addresses_are_citable() -> None:
    assert is_citable("https://a.example/x")
    for bad in ("javascript:alert(1)", "ftp://a.example", "https://a.example/x y", "https://a.example/x.", "a.example"):
        assert not is_citable(bad)


def test_reserved_hosts_are_examples_and_lookalikes_are_not() -> None:
    assert is_reserved("http://localhost:8080/health")
    assert is_reserved("https://api.example.com/v1")
    for foreign in ("http://localhost@evil.net", "https://example.com.evil.net", "https://notexample.com", "http://["):
        assert not is_reserved(foreign)


def test_titles_lose_addresses_and_brackets() -> None:
    assert clean_title("Buy [now](https://evil.net/x)\nhere") == "Buy now ((link removed)) here"
