"""The guard against addresses that are not public."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import UnsafeAddress
from app.tools.addresses import check_url, is_public

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
