from __future__ import annotations

import asyncio
from ssl import SSLCertVerificationError

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from app.llm.faults import FaultKind
from app.llm.providers.transport import classify_transport

KEY = ConnectionKey("provider.test", 443, True, True, None, None, None)
REFUSED = aiohttp.RequestInfo(URL("http://provider.test"), "CONNECT", CIMultiDictProxy(CIMultiDict()))
LINE = OSError(111, "refused")


@pytest.mark.parametrize(
    ("error", "fault", "maybe_billed"),
    [
        (aiohttp.ClientConnectorError(KEY, LINE), FaultKind.UNREACHABLE, False),
        (aiohttp.ClientConnectorDNSError(KEY, LINE), FaultKind.UNREACHABLE, False),
        (aiohttp.ConnectionTimeoutError("x"), FaultKind.UNREACHABLE, False),
        (aiohttp.SocketTimeoutError("x"), FaultKind.TIMEOUT, True),
        (aiohttp.ServerDisconnectedError(), FaultKind.UNREACHABLE, True),
        (aiohttp.ClientOSError(104, "reset"), FaultKind.UNREACHABLE, True),
        (aiohttp.ClientPayloadError("x"), FaultKind.UNREACHABLE, True),
        (aiohttp.InvalidURL("x"), FaultKind.WRONG_ENDPOINT, False),
        (aiohttp.NonHttpUrlClientError("ftp://x"), FaultKind.WRONG_ENDPOINT, False),
        (aiohttp.ClientHttpProxyError(REFUSED, ()), FaultKind.UNREACHABLE, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_shows_whether_the_request_was_sent(
    error: aiohttp.ClientError, fault: FaultKind, maybe_billed: bool
) -> None:
    found = classify_transport(error)
    assert (found.kind, found.maybe_billed, found.detail) == (fault, maybe_billed, type(error).__name__)


def test_a_refused_certificate_is_named_with_its_reason() -> None:
    reason = SSLCertVerificationError(1, "certificate verify failed")
    reason.verify_message = "self-signed certificate"
    found = classify_transport(aiohttp.ClientConnectorCertificateError(KEY, reason))
    assert (found.kind, found.maybe_billed) == (FaultKind.WRONG_ENDPOINT, False)
    assert found.detail.endswith("self-signed certificate")


def test_every_error_of_the_client_has_a_kind() -> None:
    exported = (getattr(aiohttp, name) for name in aiohttp.__all__)
    errors = {item for item in exported if isinstance(item, type) and issubclass(item, aiohttp.ClientError)}
    # The one with a reason inside cannot be made without it; the test above has it.
    errors.remove(aiohttp.ClientConnectorCertificateError)
    assert len(errors) > 10
    for error in errors:
        assert classify_transport(error.__new__(error)).kind in FaultKind


async def test_a_timer_of_asyncio_is_no_error_of_the_client() -> None:
    """Checks the assumption that `HttpAdapter` rests on: a deadline of the caller is told apart from a silence."""
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
    assert not isinstance(caught.value, aiohttp.ClientError)
