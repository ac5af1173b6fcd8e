"""The carrier of requests: one POST per attempt, answered whole or as a stream of events.

No SDK is between us and the wire: the bodies are built and read here anyway, and the SDKs read headers, addresses and
credentials from the environment on their own. It never retries or waits; the caller limits the total time.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Collection, Mapping

import aiohttp

from app.llm.faults import FaultKind, ProviderFault
from app.llm.providers.adapter import JsonObject, ProviderAnswer, ProviderRequest, require_usable
from app.llm.providers.endpoints import Connection
from app.llm.providers.lenient import to_object
from app.llm.providers.refusals import refusal_fault
from app.llm.providers.sse import EventReader
from app.llm.providers.text_collector import TextCollector
from app.llm.providers.transport import classify_transport
from app.llm.providers.wire import WireFormat
from app.llm.server_dialect import Feature
from app.llm.vendor_error import VendorError, read_error
from app.outbound.http import MAX_CONNECT_SECONDS, Sending
from app.telemetry.logs import get_logger

# Some ten times the longest answer; without a limit a broken server could fill the memory.
MAX_BODY_BYTES = 16_000_000
MAX_ERROR_BYTES = 64_000
# The end of a body comes with the end mark, or right after it.
_REST_SECONDS = 0.5
# A body of a shape that no reader expects raises one of these where it is read.
_WRONG_SHAPE = (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError)

_log = get_logger(__name__)


class HttpAdapter:
    """One provider over HTTP. Implements `ProviderAdapter`. Owns the session, and closes it."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        connection: Connection,
        choose_format: Callable[[str], WireFormat],
        *,
        proxy: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._connection = connection
        self._choose_format = choose_format
        self._monotonic = monotonic
        self._proxy = proxy

    def features(self, model: str) -> Collection[Feature]:
        return self._choose_format(model).features

    async def answer(self, request: ProviderRequest) -> ProviderAnswer:
        wire = self._choose_format(request.model)
        key = self._connection.key.current()
        try:
            return await self._ask(wire, request, key)
        except ProviderFault as fault:
            # The key may have been rotated since it was read: one more attempt, but only with another key.
            refused = fault.kind is FaultKind.AUTH and not fault.maybe_billed
            if not refused or not self._connection.key.replaced(key):
                raise
        return await self._ask(wire, request, self._connection.key.current())

    async def _ask(self, wire: WireFormat, request: ProviderRequest, key: str | None) -> ProviderAnswer:
        if wrong := self._connection.key.problem:
            raise ProviderFault(FaultKind.AUTH, wrong)
        headers = {**request.headers, **self._connection.headers(key)}
        limits = aiohttp.ClientTimeout(
            total=None,
            connect=min(MAX_CONNECT_SECONDS, request.silence_seconds),
            sock_read=request.silence_seconds,
        )
        url = self._connection.url + wire.path
        try:
            body = wire.to_body(request)
            async with await self._post(url, _dump(body), headers=headers, limits=limits) as response:
                return require_usable(await self._read(response, wire, request))
        except aiohttp.ClientError as error:
            raise classify_transport(error) from None  # its text may repeat what the server sent
        except TimeoutError as error:
            # aiohttp's own: the one of a cancelled call is raised outside of this block.
            raise ProviderFault(FaultKind.TIMEOUT, type(error).__name__, maybe_billed=True) from None
        except _WRONG_SHAPE as error:
            raise ProviderFault(FaultKind.BROKEN_ANSWER, type(error).__name__, maybe_billed=True) from None  # as above

    async def _post(
        self, url: str, body: bytes, *, headers: Mapping[str, str], limits: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """Sends the request, and again if the server has just closed the kept connection on which it went out.

        llama.cpp closes each connection after a stream, and does not announce it. Each try takes one such connection
        out of the pool, so this comes to an end.
        """
        while True:
            sending = Sending()
            try:
                return await self._session.post(
                    url,
                    data=body,
                    headers=headers,
                    timeout=limits,
                    proxy=self._proxy,
                    allow_redirects=False,
                    trace_request_ctx=sending,
                )
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                if not sending.reused:
                    raise

    async def _read(
        self, response: aiohttp.ClientResponse, wire: WireFormat, request: ProviderRequest
    ) -> ProviderAnswer:
        if response.status >= 300:
            raise await self._refusal(response, request)
        kind = response.content_type
        if kind == "text/html":
            raise self._wrong_endpoint(f"{response.status} {kind}")
        if kind == "text/event-stream" or (request.stream and kind != "application/json"):
            return await self._read_stream(response, wire, request)
        return wire.to_answer(_load(await _read_body(response, MAX_BODY_BYTES)), request)

    async def _read_stream(
        self, response: aiohttp.ClientResponse, wire: WireFormat, request: ProviderRequest
    ) -> ProviderAnswer:
        reader = EventReader()
        collector = TextCollector(request.on_text, self._monotonic)
        stream = wire.open_stream(request, collector)
        try:
            async for piece in response.content.iter_any():
                for event in reader.feed(piece):
                    stream.on_event(event)
                if reader.ended:
                    await _read_rest(response)
                    break
            for event in reader.finish():
                stream.on_event(event)
        except ProviderFault as fault:
            # What the model had written until then may be on the bill.
            uncounted = fault.tokens is None and fault.text is None
            fault.maybe_billed = fault.maybe_billed or (collector.begun and uncounted)
            raise
        except (aiohttp.ClientError, TimeoutError, ValueError):
            # Only the end of the body is missing or broken: the answer is whole, and was paid for.
            if not (reader.ended or stream.complete):
                raise
        return stream.finish(ended=reader.ended)

    async def _refusal(self, response: aiohttp.ClientResponse, request: ProviderRequest) -> ProviderFault:
        """Reads why the server refused. Nothing of the text that it quotes from the prompt is kept."""
        status = response.status
        if status < 400:
            return self._wrong_endpoint(f"{status} redirect")
        content = await _read_body(response, MAX_ERROR_BYTES)
        try:
            body: object = json.loads(content)
        except ValueError:
            body = content.decode(errors="replace")
        error = read_error(body, status=status, headers=response.headers)
        key = self._connection.key.current()
        fault = refusal_fault(error, response.headers, request, secrets=(key,) if key else ())
        if fault.kind is FaultKind.WRONG_ENDPOINT:
            return self._wrong_endpoint(fault.detail, logged=fault.outline, error=error)
        return fault

    def _wrong_endpoint(
        self, seen: str, *, logged: str | None = None, error: VendorError | None = None
    ) -> ProviderFault:
        doubt = f"(is {self._connection.address_variable} right?)"
        outline = f"{seen if logged is None else logged} {doubt}"
        return ProviderFault(FaultKind.WRONG_ENDPOINT, f"{seen} {doubt}", outline=outline, refusal=error)

    async def aclose(self) -> None:
        await self._session.close()


async def _read_rest(response: aiohttp.ClientResponse) -> None:
    """Reads what follows the end mark, so that the connection can be kept; a server that sends no end loses it."""
    try:
        async with asyncio.timeout(_REST_SECONDS):
            await response.content.read()
    except (TimeoutError, aiohttp.ClientError):
        _log.debug("stream_without_end", status=response.status)


def _dump(body: JsonObject) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode(errors="replace")


def _load(content: bytes) -> Mapping[str, object]:
    return to_object(json.loads(content))


async def _read_body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Reads the body up to the limit. Raises ValueError if an answer goes on after it."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > limit:
            if response.status >= 400:
                break
            raise ValueError("the answer is too long")
    return bytes(body)
