"""The one place where outgoing HTTP clients are made: the same limits for every provider, and no redirects.

Two libraries: models are asked with aiohttp, which takes the least CPU for a call and for a chunk of a stream. httpx,
which tavily's package takes, is for what is asked rarely: the web search and the lists of models. The integrations of
LangChain bring httpx, or its successor httpx2, and get the same options. A client belongs to the event loop that first
uses it; build one per process, hand it down, close it at the end. Each library is imported in the function that needs
it, so a process pays only for what it uses. All read proxies and certificates from the usual variables
(`app.outbound.proxy`, SSL_CERT_FILE, SSL_CERT_DIR).
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, TypedDict

import certifi

from app.errors import ConfigurationError
from app.outbound.proxy import proxy_for

if TYPE_CHECKING:
    import aiohttp
    import httpx

MAX_CONNECT_SECONDS = 3.0
MAX_CONNECTIONS = 512
MAX_IDLE_CONNECTIONS = 64
IDLE_SECONDS = 30.0
# Gateways in front of models answer with long headers of their own.
MAX_HEADER_BYTES = 65_536


@dataclass(frozen=True)
class HttpTimeouts:
    """The time limits of a client. `read_seconds`: the longest silence, before the first byte or between two."""

    read_seconds: float

    @property
    def connect_seconds(self) -> float:
        """Returns the limit for connecting, which is never longer than the limit for reading."""
        return min(MAX_CONNECT_SECONDS, self.read_seconds)


@dataclass
class Sending:
    """One request under way, to be given as `trace_request_ctx`. The client sets `reused` for a kept connection."""

    reused: bool = False


def build_ssl_context() -> ssl.SSLContext:
    """Builds the trust in servers: the certificates that the environment names, else the public ones.

    Raises ConfigurationError for a file that cannot be read.
    """
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file or folder:
        try:
            return ssl.create_default_context(cafile=file or None, capath=folder or None)
        except OSError as error:
            raise ConfigurationError(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be read: {error.strerror}.") from error
    return ssl.create_default_context(cafile=certifi.where())


def build_model_client(trust: ssl.SSLContext) -> aiohttp.ClientSession:
    """Builds a client for model servers. Each request names its own timeouts and proxy, and may bring a `Sending`."""
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=IDLE_SECONDS, ssl=trust),
        timeout=aiohttp.ClientTimeout(total=None),
        # A server that sets cookies must not connect the tasks of two tenants with each other.
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,  # `proxy_for` knows the exceptions
        max_field_size=MAX_HEADER_BYTES,
        trace_configs=[_watch_reuse()],
    )


def _watch_reuse() -> aiohttp.TraceConfig:
    import aiohttp

    async def mark(
        _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceConnectionReuseconnParams
    ) -> None:
        if isinstance(context.trace_request_ctx, Sending):
            context.trace_request_ctx.reused = True

    config = aiohttp.TraceConfig()
    config.on_connection_reuseconn.append(mark)
    return config


class HttpxOptions(TypedDict):
    """The way to a server, as httpx and httpx2 name it."""

    verify: ssl.SSLContext
    proxy: str | None
    trust_env: bool


def httpx_options(url: str) -> HttpxOptions:
    """Builds the way to `url`. Raises ConfigurationError for a proxy or a file of certificates that cannot be used."""
    # Not from the environment: with a SOCKS proxy in it httpx could not even be built.
    return {"verify": build_ssl_context(), "proxy": proxy_for(url), "trust_env": False}


def build_web_client(timeouts: HttpTimeouts, url: str) -> httpx.AsyncClient:
    """Builds a client for everything else, to be used below the address `url`."""
    import httpx

    return httpx.AsyncClient(
        timeout=httpx.Timeout(timeouts.read_seconds, connect=timeouts.connect_seconds),
        limits=httpx.Limits(
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
        ),
        follow_redirects=False,
        **httpx_options(url),
    )
