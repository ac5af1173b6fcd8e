"""The HTTP proxy for an address, from the variables that other programs read too: HTTPS_PROXY, HTTP_PROXY, NO_PROXY.

This machine itself is never asked through a proxy. A proxy for everything (ALL_PROXY) counts if it speaks HTTP: many
shells set a SOCKS proxy there, which is not supported and must not stop anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from app.errors import ConfigurationError

_SUPPORTED = ("http", "https")


def proxy_for(url: str) -> str | None:
    """Finds the proxy to ask `url` through; None for none. Raises ConfigurationError for one of an unsupported kind."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _is_loopback(host) or proxy_bypass(f"{host}:{parts.port}" if parts.port else host):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme)
    if proxy is not None and urlsplit(proxy).scheme not in _SUPPORTED:
        raise ConfigurationError(
            f"{parts.scheme.upper()}_PROXY is not an HTTP proxy, and no other kind is supported: "
            "write http://host:port, or unset it."
        )
    everything = proxies.get("all", "")
    return proxy or (everything if urlsplit(everything).scheme in _SUPPORTED else None)


def unusable_variables() -> Sequence[str]:
    """Names the variables with a proxy of an unsupported kind: libraries that read them on their own may fail."""
    return [
        f"{scheme.upper()}_PROXY"
        for scheme, proxy in getproxies().items()
        if scheme in ("http", "https", "all") and urlsplit(proxy).scheme not in _SUPPORTED
    ]


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
