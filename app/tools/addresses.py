"""The check that a web address is public before it is shown.

`check_url` judges only the text of an address and raises `UnsafeAddress`. It resolves no name and opens no connection,
so it is not enough for a caller that fetches: a public name may lead to a private address.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from app.errors import UnsafeAddress

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_SCHEMES = frozenset({"http", "https"})
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home", ".corp", ".home.arpa", ".onion")
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))+")
_NUMERIC_LABEL = re.compile(r"(0x[0-9a-f]*|[0-9]+)")
_FORBIDDEN_CHARACTERS = re.compile(r"[\x00-\x20\x7f\\]")
# The instance metadata of cloud providers: it gives away credentials.
_METADATA = frozenset({ipaddress.ip_address("169.254.169.254"), ipaddress.ip_address("fd00:ec2::254")})
# A translator takes the IPv4 address from the last 32 bits, so those decide.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LONGEST_URL = 2_048


def check_url(url: str) -> str:
    """Returns the address as it was given. Raises UnsafeAddress unless it is http(s) to a host that may be public."""
    _checked_parts(url)
    return url


def is_public(address: IPAddress) -> bool:
    """Returns True for an address of the open internet, also after unpacking IPv4 inside IPv6."""
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
        _check_public(_parsed(host, host), host)
        return
    name = host.removesuffix(".")
    if _NUMERIC_LABEL.fullmatch(name.rsplit(".", 1)[-1]):
        # 2130706433, 0x7f.1 and 0177.0.0.1 are all 127.0.0.1 to a resolver: only the plain form is accepted.
        _check_public(_parsed(name, host), host)
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


def _check_public(address: IPAddress, host: str) -> None:
    if not is_public(address):
        raise UnsafeAddress(f"The host {host} leads to an address that is not public.")


def _embedded_ipv4(address: IPAddress) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
