"""Which web addresses may be fetched or shown: public ones only (the guard against server-side request forgery).

`check_url` judges the text of an address, `resolve_public` also every IP address that its name resolves to. A caller
that fetches connects to exactly the addresses returned here, so that a name cannot change its mind between check and
connection, and calls again for every redirect (`check_redirect`). Raises `UnsafeAddress`; never opens a connection.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import SplitResult, urljoin, urlsplit

from app.errors import UnsafeAddress

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_SCHEMES = frozenset({"http", "https"})
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home", ".corp", ".home.arpa", ".onion")
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))+")
_NUMERIC_LABEL = re.compile(r"(0x[0-9a-f]*|[0-9]+)")
_FORBIDDEN_CHARACTERS = re.compile(r"[\x00-\x20\x7f\\]")
_METADATA = frozenset({ipaddress.ip_address("169.254.169.254"), ipaddress.ip_address("fd00:ec2::254")})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LONGEST_URL = 2_048


class Resolver(Protocol):
    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Every IP address of the host, as text; empty or OSError when it has none."""


def check_url(url: str) -> str:
    """Returns the address as it was given. Raises UnsafeAddress unless it is http(s) to a host that may be public."""
    _checked_parts(url)
    return url


async def resolve_public(url: str, *, resolve: Resolver) -> Sequence[IPAddress]:
    """The public IP addresses of the URL's host. Raises UnsafeAddress when there is none, or one that is not public."""
    parts = _checked_parts(url)
    host = str(parts.hostname)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = await resolve(host, port)
    except OSError as error:
        raise UnsafeAddress(f"The host {host} has no address.") from error
    if not found:
        raise UnsafeAddress(f"The host {host} has no address.")
    return [_public(_parsed(text, host), host) for text in found]


def check_redirect(current: str, location: str) -> str:
    """The absolute address that a redirect leads to; from https only to https. Raises UnsafeAddress."""
    target = urljoin(current, location)
    parts = _checked_parts(target)
    if urlsplit(current).scheme == "https" and parts.scheme != "https":
        raise UnsafeAddress(f"The redirect to {parts.hostname} leaves https.")
    return target


def is_public(address: IPAddress) -> bool:
    """Whether the address is one of the open internet, also after unpacking IPv4 inside IPv6."""
    inner = _embedded_ipv4(address)
    if inner is not None:
        return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved and address not in _METADATA


def _checked_parts(url: str) -> SplitResult:
    if len(url) > _LONGEST_URL or _FORBIDDEN_CHARACTERS.search(url):
        raise UnsafeAddress("The address is too long or holds forbidden characters.")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # reading the port checks it
    except ValueError as error:
        raise UnsafeAddress("The address cannot be parsed.") from error
    if parts.scheme not in _SCHEMES or not host:
        raise UnsafeAddress("Only http and https addresses with a host are allowed.")
    if parts.username is not None or parts.password is not None:
        raise UnsafeAddress("An address with a user name or password is not allowed.")
    _check_host(host.lower())
    return parts


def _check_host(host: str) -> None:
    if ":" in host:
        _public(_parsed(host, host), host)
        return
    name = host.removesuffix(".")
    if _NUMERIC_LABEL.fullmatch(name.rsplit(".", 1)[-1]):
        # 2130706433, 0x7f.1 and 0177.0.0.1 are all 127.0.0.1 to a resolver: only the plain form is taken at all.
        _public(_parsed(name, host), host)
        return
    if not name.isascii():
        raise UnsafeAddress("The host's name has to be in its ASCII form.")
    if not _HOST_NAME.fullmatch(name) or name.endswith(_PRIVATE_SUFFIXES):
        raise UnsafeAddress(f"The host {name} is not a public name.")


def _parsed(text: str, host: str) -> IPAddress:
    try:
        return ipaddress.ip_address(text.split("%", 1)[0])
    except ValueError as error:
        raise UnsafeAddress(f"The host {host} is not a valid address.") from error


def _public(address: IPAddress, host: str) -> IPAddress:
    if not is_public(address):
        raise UnsafeAddress(f"The host {host} leads to an address that is not public.")
    return address


def _embedded_ipv4(address: IPAddress) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
