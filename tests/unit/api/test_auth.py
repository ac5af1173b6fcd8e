"""The address of a client behind proxies."""

from __future__ import annotations

import ipaddress

import pytest
from starlette.requests import HTTPConnection

from app.api.auth import client_address

PROXIES = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32")]
PROXY = "10.1.2.3"
CLIENT = "198.51.100.7"


def connection(peer: str | None, *forwarded: str) -> HTTPConnection:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return HTTPConnection({"type": "http", "headers": headers, "client": None if peer is None else (peer, 1)})


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        (CLIENT, [], CLIENT),
        (CLIENT, ["1.2.3.4"], CLIENT),
        (PROXY, [], PROXY),
        (PROXY, [CLIENT], CLIENT),
        (PROXY, [f"6.6.6.6, {CLIENT}"], CLIENT),
        (PROXY, [f"6.6.6.6, {CLIENT}, 10.9.9.9"], CLIENT),
        (PROXY, ["6.6.6.6", f"{CLIENT}, 10.9.9.9"], CLIENT),
        (PROXY, ["10.9.9.9"], "10.9.9.9"),
        (PROXY, ["nonsense"], PROXY),
        (PROXY, [f"{CLIENT}, nonsense"], PROXY),
        (PROXY, [" , "], PROXY),
        ("2001:db8::1", ["2400::7"], "2400::7"),
        (PROXY, [f"{CLIENT}:51234"], CLIENT),
        (PROXY, [f"{CLIENT}:51234, 10.0.0.2"], CLIENT),
        (PROXY, ["[2400::7]:443"], "2400::7"),
        (PROXY, ["[2400::7]"], "2400::7"),
        (PROXY, [f"::ffff:{CLIENT}"], CLIENT),
        (f"::ffff:{PROXY}", [f"[::ffff:{CLIENT}]:1"], CLIENT),
        (PROXY, [f"{CLIENT}:port"], PROXY),
        (None, [CLIENT], "unknown"),
    ],
)
def test_the_last_address_that_is_no_proxys_counts(peer: str | None, forwarded: list[str], address: str) -> None:
    assert client_address(connection(peer, *forwarded), PROXIES) == address


def test_without_trusted_proxies_the_peer_counts() -> None:
    assert client_address(connection(PROXY, CLIENT), []) == PROXY
