from __future__ import annotations

import asyncio

import aiohttp
import httpx2
import openai
import pytest
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from app.llm.faults import FaultKind
from app.llm.providers.transport import classify_transport
from app.outbound.http import HttpTimeouts, build_model_client
from tests.support.servers import free_port

KEY = ConnectionKey("provider.test", 443, True, True, None, None, None)
REFUSED = aiohttp.RequestInfo(URL("http://provider.test"), "CONNECT", CIMultiDictProxy(CIMultiDict()))
LINE = OSError(111, "refused")


@pytest.mark.parametrize(
    ("below", "fault", "maybe_billed"),
    [
        (aiohttp.ClientConnectorError(KEY, LINE), FaultKind.UNREACHABLE, False),
        (aiohttp.ClientConnectorDNSError(KEY, LINE), FaultKind.UNREACHABLE, False),
        (aiohttp.ConnectionTimeoutError("x"), FaultKind.TIMEOUT, False),
        (aiohttp.SocketTimeoutError("x"), FaultKind.TIMEOUT, True),
        (aiohttp.ServerDisconnectedError(), FaultKind.UNREACHABLE, True),
        (aiohttp.ClientOSError(104, "reset"), FaultKind.UNREACHABLE, True),
        (aiohttp.ClientPayloadError("x"), FaultKind.UNREACHABLE, True),
        (aiohttp.InvalidURL("x"), FaultKind.BAD_REQUEST, False),
        (aiohttp.NonHttpUrlClientError("ftp://x"), FaultKind.BAD_REQUEST, False),
        (aiohttp.ClientHttpProxyError(REFUSED, ()), FaultKind.UNREACHABLE, False),
    ],
)
def test_what_happened_on_the_line_counts_more_than_the_name_it_was_given(
    below: Exception, fault: FaultKind, maybe_billed: bool
) -> None:
    named = httpx2.ConnectTimeout("x")
    named.__cause__ = below
    found = classify_transport(named)
    assert (found.kind, found.maybe_billed, found.detail) == (fault, maybe_billed, type(below).__name__)


async def _failure(url: str, *, read_seconds: float = 5) -> Exception:
    client = build_model_client(openai.DefaultAioHttpClient, HttpTimeouts(read_seconds=read_seconds))
    try:
        await client.post(url, json={})
    except Exception as error:  # noqa: BLE001  # whatever the transport raises is what the test is about
        return error
    finally:
        await client.aclose()
    raise AssertionError("the request went through")


async def test_nobody_listening_was_not_sent() -> None:
    found = classify_transport(await _failure(f"http://127.0.0.1:{free_port()}/"))
    assert (found.kind, found.maybe_billed) == (FaultKind.UNREACHABLE, False)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"", FaultKind.UNREACHABLE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", FaultKind.UNREACHABLE),
        (b"this is not HTTP\r\n\r\n", FaultKind.BROKEN_ANSWER),
    ],
)
async def test_a_server_that_hangs_up_may_have_charged(answer: bytes, fault: FaultKind) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found = classify_transport(await _failure(f"http://127.0.0.1:{port}/"))
    assert (found.kind, found.maybe_billed) == (fault, True)


async def test_a_silent_server_may_have_charged() -> None:
    over = asyncio.Event()

    async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    async with await asyncio.start_server(stay_silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found = classify_transport(await _failure(f"http://127.0.0.1:{port}/", read_seconds=0.1))
        over.set()
    assert (found.kind, found.maybe_billed) == (FaultKind.TIMEOUT, True)
