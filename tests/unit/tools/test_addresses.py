"""The guard against addresses that lead inside."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import UnsafeAddress
from app.tools.addresses import check_redirect, check_url, is_public, resolve_public

PUBLIC = [
    "https://www.python.org/",
    "http://docs.example.com:8080/a?b=c#d",
    "https://8.8.8.8/",
    "https://[2606:4700::1111]/",
]
UNSAFE = [
    "",
    "python.org",
    "//python.org",
    "ftp://python.org/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "gopher://python.org/",
    "http://",
    "http://localhost/",
    "http://a.localhost/",
    "http://printer.local/",
    "http://metadata.google.internal/",
    "http://intranet/",
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.0.0.1./",
    "http://2130706433/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://10.0.0.5/",
    "http://172.16.9.9/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data",
    "http://0.0.0.0/",
    "http://255.255.255.255/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://192.0.2.1/",
    "http://[::1]/",
    "http://[::]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[ff02::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:7f00:1::]/",
    "http://[not-an-address]/",
    "http://user:secret@python.org/",
    "http://python.org@127.0.0.1/",
    "http://python.org\\@127.0.0.1/",
    "http://python.org/\r\nHost: localhost",
    "http://python.org:99999/",
    "http://пример.рф/",
    "http://ⓛocalhost/",
    "http://127。0。0。1/",
    "http://-bad.org/",
    "https://python.org/" + "a" * 3_000,
]


class Resolver:
    """Answers every name with the same addresses; None: the name does not exist."""

    def __init__(self, addresses: Sequence[str] | None) -> None:
        self._addresses = addresses
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        if self._addresses is None:
            raise OSError("no such name")
        return self._addresses


@pytest.mark.parametrize("url", PUBLIC)
def test_public_address_passes(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize("url", UNSAFE)
def test_unsafe_address_is_refused(url: str) -> None:
    with pytest.raises(UnsafeAddress):
        check_url(url)


@given(st.text(max_size=60))
def test_nothing_but_unsafe_address_is_raised(text: str) -> None:
    for url in (text, f"http://{text}/"):
        with contextlib.suppress(UnsafeAddress):
            check_url(url)


@given(st.ip_addresses(network="10.0.0.0/8") | st.ip_addresses(network="127.0.0.0/8"))
def test_private_address_is_never_public_in_any_dress(address: ipaddress.IPv4Address) -> None:
    mapped = ipaddress.IPv6Address(f"::ffff:{address}")
    six_to_four = ipaddress.IPv6Address((0x2002 << 112) | int(address) << 80)
    for dressed in (address, mapped, six_to_four):
        assert not is_public(dressed)


async def test_every_resolved_address_has_to_be_public() -> None:
    resolver = Resolver(["93.184.216.34", "2606:4700::1111"])
    found = await resolve_public("https://python.org/x", resolve=resolver)
    assert list(map(str, found)) == ["93.184.216.34", "2606:4700::1111"]
    assert resolver.asked == [("python.org", 443)]


@pytest.mark.parametrize("answer", [["93.184.216.34", "10.0.0.1"], ["169.254.169.254"], ["::ffff:127.0.0.1"], [], None])
async def test_name_that_leads_inside_is_refused(answer: Sequence[str] | None) -> None:
    with pytest.raises(UnsafeAddress):
        await resolve_public("http://rebinding.example.com:81/", resolve=Resolver(answer))


async def test_unsafe_text_is_not_even_resolved() -> None:
    resolver = Resolver(["93.184.216.34"])
    with pytest.raises(UnsafeAddress):
        await resolve_public("http://localhost/", resolve=resolver)
    assert resolver.asked == []


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/b", "https://python.org/b"),
        ("https://docs.python.org/", "https://docs.python.org/"),
        ("c", "https://python.org/c"),
    ],
)
def test_redirect_is_made_absolute(location: str, target: str) -> None:
    assert check_redirect("https://python.org/a", location) == target


@pytest.mark.parametrize(
    "location", ["http://python.org/", "http://169.254.169.254/", "//127.0.0.1/", "file:///etc/passwd"]
)
def test_unsafe_redirect_is_refused(location: str) -> None:
    with pytest.raises(UnsafeAddress):
        check_redirect("https://python.org/a", location)
