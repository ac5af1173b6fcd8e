"""The one place where outgoing HTTP clients are made: the same limits for every provider, and no redirects.

Two libraries, because the providers' packages use two: openai and anthropic take an httpx2 client, tavily an httpx one.
The model SDKs bring an httpx2 client on top of aiohttp, which takes 0.4 ms of CPU for a call where httpx2 alone takes
1.2 ms. A client belongs to the event loop that first uses it; build one per process, hand it down, close it at the end.
Each library is imported in the function that needs it, so a process pays only for what it uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx
    import httpx2

MAX_CONNECT_SECONDS = 3.0
MAX_CONNECTIONS = 512
MAX_IDLE_CONNECTIONS = 64
IDLE_SECONDS = 30.0


@dataclass(frozen=True)
class HttpTimeouts:
    """The time limits of a client. `read_seconds`: the longest silence, before the first byte or between two."""

    read_seconds: float

    @property
    def connect_seconds(self) -> float:
        """Returns the limit for connecting, which is never longer than the limit for reading."""
        return min(MAX_CONNECT_SECONDS, self.read_seconds)


def build_model_client(kind: type[httpx2.AsyncClient], timeouts: HttpTimeouts) -> httpx2.AsyncClient:
    """Builds a client for an SDK of a model provider; `kind` is the SDK's own class on aiohttp."""
    import httpx2

    return kind(
        # aiohttp applies `pool` to everything until there is a connection, DNS included. It has no limit for writing:
        # the deadline of the call ends a call to a server that stops reading.
        timeout=httpx2.Timeout(timeouts.read_seconds, connect=timeouts.connect_seconds, pool=timeouts.connect_seconds),
        limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=IDLE_SECONDS),
        follow_redirects=False,  # a redirect would carry the key and the prompt to an address that nobody configured
    )


def build_web_client(timeouts: HttpTimeouts) -> httpx.AsyncClient:
    """Builds a client for everything else: web search, lists of models."""
    import httpx

    return httpx.AsyncClient(
        timeout=httpx.Timeout(timeouts.read_seconds, connect=timeouts.connect_seconds),
        limits=httpx.Limits(
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
        ),
        follow_redirects=False,
    )
