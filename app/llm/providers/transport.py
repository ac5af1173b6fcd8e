"""The classification of failures below HTTP: the request was not sent, the server fell silent, or the connection broke.

The clients of the SDKs are httpx2 over aiohttp.
"""

from __future__ import annotations

import aiohttp
import httpx2

from app.llm.faults import FaultKind, ProviderFault

TRANSPORT_ERRORS = (httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError)

# The first class that fits counts, so subclasses come before their bases. The last value: the request may have reached
# the server.
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
    """Classifies an error of the HTTP client; None is a broken connection."""
    # The transport between the two libraries maps aiohttp's errors, and not always correctly: a server that hangs up in
    # the middle of an answer becomes a timeout of connecting. So aiohttp's own error decides if there is one.
    below = error.__cause__ if error is not None else None
    cause = below if isinstance(below, aiohttp.ClientError) else error
    detail = type(cause).__name__ if cause is not None else "connection"
    for kind, fault, maybe_billed in _BELOW:
        if isinstance(cause, kind):
            return ProviderFault(fault, detail, maybe_billed=maybe_billed)
    return ProviderFault(FaultKind.UNREACHABLE, detail, maybe_billed=True)
