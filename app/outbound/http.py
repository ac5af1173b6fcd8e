"""The one place where outgoing HTTP clients are made: the same limits for every vendor, and no redirects.

Two libraries, because the vendors' packages use two: openai and anthropic take an httpx2 client, tavily an httpx one.
The model SDKs bring an httpx2 client on top of aiohttp, which takes 0.4 ms of CPU for a call where httpx2 alone takes
1.2 ms. A client belongs to the event loop that first uses it; build one per process, hand it down, close it at the end.
Each is imported where it is asked for, so that a process pays only for what it uses.
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
    """`read_seconds` is the longest silence of a server: before the first byte, and between two pieces."""

    read_seconds: float

    @property
    def connect_seconds(self) -> float:
        return min(MAX_CONNECT_SECONDS, self.read_seconds)


def build_model_client(kind: type[httpx2.AsyncClient], timeouts: HttpTimeouts) -> httpx2.AsyncClient:
    """A model vendor's client; `kind` is the SDK's own class on aiohttp.

    aiohttp takes `pool` for all that it does until there is a connection, the look-up of the name included. It knows no
    limit for writing: a server that stops reading is bounded by the call's own deadline.
    """
    import httpx2

    return kind(
        timeout=httpx2.Timeout(timeouts.read_seconds, connect=timeouts.connect_seconds, pool=timeouts.connect_seconds),
        limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=IDLE_SECONDS),
        follow_redirects=False,
    )


def build_web_client(timeouts: HttpTimeouts) -> httpx.AsyncClient:
    """The client for everything else: web search, lists of models."""
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
