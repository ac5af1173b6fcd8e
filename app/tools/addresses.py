"""The check that a web address is public before it is shown as a source.

`check_url` judges only the text of an address and raises `UnsafeAddress`. A name that cannot be public is refused by
its form or by a list, which is never complete. That is enough for sources, because nothing in this product fetches a
page. A fetcher would have to check every address that a name resolves to with `is_public`, connect to that same
address (the name may lead elsewhere a second later), and do the same for each redirect.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from app.errors import UnsafeAddress
from app.tools.untrusted import HIDDEN

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def _names_below(zones: str) -> tuple[str, ...]:
    return tuple(f".{zone}" for zone in zones.split())


_SCHEMES = frozenset({"http", "https"})
# Public web pages are at these; at others there are databases, mail servers, consoles.
_PORTS = frozenset({None, 80, 443, 8080, 8443})
# Reserved for special use (RFC 6761, 6762, 7686, 8375, 9476), set aside by ICANN because networks use them inside, or
# used inside by Kubernetes, Docker, virtual machines, Consul and routers. None is a top-level domain of the internet.
# `.example` is reserved too, but leads nowhere: the simulator's pages are there.
_PRIVATE_SUFFIXES = _names_below(
    "alt arpa bit cluster consul corp default docker domain eth gnu home i2p internal intra intranet invalid kube lan "
    "libvirt loc local localdomain localhost localnet mail minikube onion pod priv private router server svc test "
    "testing vagrant workgroup zkey"
)
# A name in one of these leads to the address that it spells, or to this machine: made for tests, and used in attacks.
_LEADING_ANYWHERE = _names_below(
    "1u.ms backname.io ddev.site fuf.me ipv6-literal.net lacolhost.com lndo.site local.gd localdev.me localho.st "
    "localtest.me lvh.me nip.io rbndr.us smackaho.st sslip.io traefik.me vcap.me xip.io xip.name"
)
# A service by its full name in a cluster that has a domain of its own: `api.team.svc.corp.example`.
_CLUSTER_SERVICE = re.compile(r"[^.]+\.[^.]+\.(svc|pod)\..+")
# Looked for at each place, because the digits of two addresses may overlap.
_SPELT_IPV4 = re.compile(r"(?<!\d)(?=(\d{1,3})[.-](\d{1,3})[.-](\d{1,3})[.-](\d{1,3})(?!\d))")
# No other top-level domains exist: letters, or the ASCII form of letters.
_HOST_NAME = re.compile(r"((?!-)[a-z0-9_-]{1,63}(?<!-)\.)+([a-z]{2,63}|xn--[a-z0-9-]{1,58}[a-z0-9])")
_NUMERIC_LABEL = re.compile(r"(0x[0-9a-f]*|[0-9]+)")
_FORBIDDEN_CHARACTERS = re.compile(r"[\x00-\x20\x7f\\\s]")
# Servers of a cloud provider at addresses that look public, and the metadata of instances: it gives away credentials.
_CLOUD = frozenset(map(ipaddress.ip_address, ("169.254.169.254", "fd00:ec2::254", "168.63.129.16")))
# Not of the open internet, although some versions of Python take them for it: protocols (with Oracle's metadata),
# relays of 6to4, documentation.
_NOT_GLOBAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")))
# The only part of IPv6 from which public addresses are given out.
_GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")
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
    special = address.is_multicast or address.is_reserved or address in _CLOUD
    elsewhere = address.version == 6 and address not in _GLOBAL_IPV6
    return address.is_global and not (special or elsewhere or any(address in network for network in _NOT_GLOBAL))


def _checked_parts(url: str) -> SplitResult:
    # Invisible characters, and those that turn the direction of the text, make an address look like another one.
    if len(url) > _LONGEST_URL or _FORBIDDEN_CHARACTERS.search(url) or HIDDEN.search(url):
        raise UnsafeAddress("The address is too long or holds forbidden characters.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UnsafeAddress("The address cannot be parsed.") from error
    if parts.scheme not in _SCHEMES or not host:
        raise UnsafeAddress("Only http and https addresses with a host are allowed.")
    if parts.username is not None or parts.password is not None:
        raise UnsafeAddress("An address with a user name or password is not allowed.")
    if port not in _PORTS:
        raise UnsafeAddress(f"The port {port} is not one of public web pages.")
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
    if not _HOST_NAME.fullmatch(name) or name.endswith(_PRIVATE_SUFFIXES) or _leads_inside(name):
        raise UnsafeAddress(f"The host {name} is not a public name.")


def _leads_inside(name: str) -> bool:
    """Checks whether the name is made to lead to an address of the one who chose it, or names a private address."""
    if _CLUSTER_SERVICE.fullmatch(name) or f".{name}".endswith(_LEADING_ANYWHERE):
        return True
    return any(_spells_private(match) for match in _SPELT_IPV4.finditer(name))


def _spells_private(match: re.Match[str]) -> bool:
    numbers = [int(number) for number in match.groups()]
    return max(numbers) <= 255 and not is_public(ipaddress.IPv4Address(bytes(numbers)))


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
