"""Addresses in a text."""

from __future__ import annotations

import pytest

from app.agents.content.links import (
    clean_title,
    find_addresses,
    is_citable,
    is_example,
    is_place,
    is_reserved,
    locate_addresses,
    locate_in_code,
    named_pages,
    replace_addresses,
    url_key,
)


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
        (
            "evil.com/login, login.evil.co.uk:8443/x?y=1 and evil.com?q=1#z.",
            ["evil.com/login", "login.evil.co.uk:8443/x?y=1", "evil.com?q=1#z"],
        ),
        (r"//evil.com, \\\\evil.com/x and https:/evil.com/x", ["//evil.com", r"\\evil.com/x", "https:/evil.com/x"]),
        (
            "https&#58;//evil.com/x and https\\://evil.com and ev&shy;il.com/x",
            ["https://evil.com/x", "https://evil.com", "evil.com/x"],
        ),
        ("е.рф/вход, пример.рф/вход и 中文.中国/登录。", ["е.рф/вход", "пример.рф/вход", "中文.中国/登录"]),
        (
            "203.0.113.5/login, 203.0.113.5:8080 and mailto:a@evil.com",
            ["203.0.113.5/login", "203.0.113.5:8080", "mailto:a@evil.com"],
        ),
        ("Booking.com, Have you used Booking.com? a@b.com/x, e.g./i.e., Node.js/Express", []),
        ("10.0.0.0/8, 1.5/2.0, v1.2.3/x, B.Sc./M.Sc. and B.Tech/M.Tech", []),
        (
            "请访问evil.com/login，然后见https://a.example/x。再（www.b.example）",
            ["evil.com/login", "https://a.example/x", "www.b.example"],
        ),
        ("src/evil.com/x.py and postgres://db.net/x and 12:30/13:00 and C:\\x\\y.com\\z", []),
    ],
)
def test_addresses_are_found_without_what_ends_the_sentence(text: str, addresses: list[str]) -> None:
    assert find_addresses(text) == addresses


def test_the_place_of_an_address_is_that_of_its_spelling() -> None:
    text = "A &lt; ht\u200btps&#58;//a.example/x&amp;y=1. B"
    (found,) = locate_addresses(text)
    assert text[found.start : found.end] == "ht\u200btps&#58;//a.example/x&amp;y=1"


def test_in_code_only_whole_addresses_count_and_nothing_is_decoded() -> None:
    code = "curl https://evil.com/x; cat app.py/b evil.com/x https&#58;//evil.com www.evil.com"
    assert [found.address for found in locate_in_code(code)] == ["https://evil.com/x", "www.evil.com"]


def test_a_user_may_name_pages_without_a_scheme() -> None:
    keys = named_pages("Our site acme.net, localhost:8080/x, www.b.net/y, Mail me@acme.net, 10.0.0.7:80")
    for address in (
        "https://acme.net/",
        "http://localhost:8080/x",
        "https://b.net/y",
        "mailto:Me@acme.net",
        "http://10.0.0.7",
    ):
        assert url_key(address) in keys
    assert url_key("https://acme.net/other") not in keys


def test_replacing_keeps_the_punctuation() -> None:
    assert replace_addresses("See https://a.example/x.", lambda _: "it") == "See it."


@pytest.mark.parametrize(
    "variant",
    [
        *("http://a.example/x", "https://A.example/x/", "https://a.example/x#part", "www.b.example", "a.example/x"),
        *("https://www.a.example/x", "https://a.example:443/x", "//a.example/x", "https://a.example/%78"),
        *("https://a.example/x?utm_source=y&utm_medium=z", "https://a.example/x?gclid=1#:~:text=x"),
    ],
)
def test_variants_of_one_page_have_one_key(variant: str) -> None:
    assert url_key(variant) in {url_key("https://a.example/x"), url_key("https://www.b.example")}


@pytest.mark.parametrize(
    "other",
    [
        *("https://a.example/y", "https://a.example/x?q=1", "https://a.example@evil.net/x", "ftp://a.example/x"),
        *(
            "javascript://a.example/x",
            "https://a.example:8080/x",
            "https://a.example\\@evil.net/x",
            "https://a.exa\tmple/x",
        ),
    ],
)
def test_other_pages_have_other_keys(other: str) -> None:
    assert url_key(other) != url_key("https://a.example/x")


@pytest.mark.parametrize("broken", ["http://[", "https://", "", "/path/only", "javascript:alert(1)", "https://a:b/x"])
def test_what_has_no_host_has_no_key(broken: str) -> None:
    assert url_key(broken) is None


def test_only_whole_web_addresses_are_citable() -> None:
    assert is_citable("https://a.example/x")
    for bad in ("javascript:alert(1)", "ftp://a.example", "https://a.example/x y", "https://a.example/x.", "a.example"):
        assert not is_citable(bad)


def test_reserved_hosts_are_examples_and_lookalikes_are_not() -> None:
    assert is_reserved("http://localhost:8080/health")
    assert is_reserved("https://api.example.com/v1")
    for foreign in (
        *("http://localhost@evil.net", "https://example.com.evil.net", "https://notexample.com", "http://["),
        *("https://evil.net\\.example.com", "https://evil.net\\@example.com", "https://evil.net\uff0f.example.com"),
    ):
        assert not is_reserved(foreign)


def test_a_place_in_the_text_is_no_address() -> None:
    assert is_place("#part-1.2")
    assert not any(map(is_place, ("", "part", "#//evil.net", "https://a.example/#part")))


def test_this_machine_is_no_example() -> None:
    assert is_example("https://api.example.com/v1")
    assert not is_example("http://localhost:8080/health")


def test_titles_lose_addresses_and_brackets() -> None:
    assert clean_title("Buy [now](https://evil.net/x)\nhere") == "Buy now ((link removed)) here"
