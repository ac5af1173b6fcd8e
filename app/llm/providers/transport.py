"""What a failure below HTTP means: the request could not be sent, the server fell silent, or the line broke.

The SDKs' clients are httpx2 over aiohttp. Their transport names aiohttp's errors anew, and not always rightly: a
server that hangs up in the middle of an answer comes as a timeout of connecting. So where aiohttp's error is known, it
decides.
"""

from __future__ import annotations

import aiohttp
import httpx2

from app.llm.faults import FaultKind, ProviderFault

TRANSPORT_ERRORS = (httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError)

# The first class that fits counts; the second value says that the request may have reached the server.
_BELOW: tuple[tuple[type[BaseException], FaultKind, bool], ...] = (
    (aiohttp.InvalidURL, FaultKind.BAD_REQUEST, False),
    (aiohttp.NonHttpUrlClientError, FaultKind.BAD_REQUEST, False),
    (aiohttp.ClientHttpProxyError, FaultKind.UNREACHABLE, False),
    (aiohttp.ConnectionTimeoutError, FaultKind.TIMEOUT, False),
    (aiohttp.ServerTimeoutError, FaultKind.TIMEOUT, True),
    (aiohttp.ClientConnectorError, FaultKind.UNREACHABLE, False),
    (aiohttp.ClientResponseError, FaultKind.BROKEN_ANSWER, True),
    (aiohttp.ClientError, FaultKind.UNREACHABLE, True),
    (httpx2.ConnectTimeout, FaultKind.TIMEOUT, False),
    (httpx2.PoolTimeout, FaultKind.TIMEOUT, False),
    (httpx2.TimeoutException, FaultKind.TIMEOUT, True),
    (httpx2.ConnectError, FaultKind.UNREACHABLE, False),
    (httpx2.UnsupportedProtocol, FaultKind.BAD_REQUEST, False),
    (httpx2.LocalProtocolError, FaultKind.BAD_REQUEST, False),
    (httpx2.DecodingError, FaultKind.BROKEN_ANSWER, True),
)


def classify_transport(error: BaseException | None) -> ProviderFault:
    """The fault that an error of the HTTP client stands for; None is a broken connection."""
    below = error.__cause__ if error is not None else None
    told = below if isinstance(below, aiohttp.ClientError) else error
    detail = type(told).__name__ if told is not None else "connection"
    for kind, fault, maybe_billed in _BELOW:
        if isinstance(told, kind):
            return ProviderFault(fault, detail, maybe_billed=maybe_billed)
    return ProviderFault(FaultKind.UNREACHABLE, detail, maybe_billed=True)
