"""The classification of failures below HTTP: the request was not sent, the server fell silent, or the line broke."""

from __future__ import annotations

import aiohttp

from app.llm.faults import FaultKind, ProviderFault

# The first class that fits counts, so subclasses come before their bases. The last value: the request may have reached
# the server.
_BELOW: tuple[tuple[type[BaseException], FaultKind, bool], ...] = (
    (aiohttp.InvalidURL, FaultKind.WRONG_ENDPOINT, False),
    (aiohttp.NonHttpUrlClientError, FaultKind.WRONG_ENDPOINT, False),
    (aiohttp.ClientHttpProxyError, FaultKind.UNREACHABLE, False),
    # Nobody replaces a wrong certificate while a task waits.
    (aiohttp.ClientConnectorCertificateError, FaultKind.WRONG_ENDPOINT, False),
    (aiohttp.ClientConnectorSSLError, FaultKind.WRONG_ENDPOINT, False),
    # Not a TIMEOUT: the model did not even get the request, so asking it once more costs no second thinking.
    (aiohttp.ConnectionTimeoutError, FaultKind.UNREACHABLE, False),
    (aiohttp.ServerTimeoutError, FaultKind.TIMEOUT, True),
    (aiohttp.ClientConnectorError, FaultKind.UNREACHABLE, False),
    (aiohttp.ClientResponseError, FaultKind.BROKEN_ANSWER, True),
    (aiohttp.ClientError, FaultKind.UNREACHABLE, True),
)


def classify_transport(error: aiohttp.ClientError) -> ProviderFault:
    """Classifies an error of the HTTP client."""
    for kind, fault, maybe_billed in _BELOW:
        if isinstance(error, kind):
            return ProviderFault(fault, _name_of(error), maybe_billed=maybe_billed)
    raise AssertionError("unreachable: every error of the client is a ClientError")


def _name_of(error: aiohttp.ClientError) -> str:
    """Names the class, and why a certificate is refused; other texts may hold what the server sent."""
    name = type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "")
        return f"{name}: {reason}" if reason else name
    return name
