"""The carrier of requests over a provider's SDK client: its generic `post` with the raw response, whole or streamed.

openai and anthropic come from the same generator, so one carrier serves both; `SdkParts` holds what differs. The SDK
never retries or sleeps here. Its timeout is the longest silence of the server; the caller limits the total.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

from app.llm.faults import FaultKind, ProviderFault
from app.llm.providers.adapter import JsonObject, ProviderAnswer, ProviderRequest, require_usable
from app.llm.providers.endpoints import NO_KEY, Connection
from app.llm.providers.sse import EventReader, TextCollector
from app.llm.providers.transport import TRANSPORT_ERRORS
from app.llm.providers.wire import WireFormat

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI

# A body that differs from the documented shape raises one of these where it is read.
_WRONG_SHAPE = (KeyError, IndexError, TypeError, AttributeError, ValueError)


@dataclass(frozen=True)
class SdkParts:
    """The parts that differ between SDKs. `classify` maps the SDK's exceptions (`errors`) and the transport's."""

    client: AsyncOpenAI | AsyncAnthropic
    connection: Connection
    errors: type[Exception]
    classify: Callable[[Exception], ProviderFault]
    choose_format: Callable[[str], WireFormat]


class SdkAdapter:
    """One provider over its SDK. Implements `ProviderAdapter`."""

    def __init__(self, parts: SdkParts, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._monotonic = monotonic

    async def answer(self, request: ProviderRequest) -> ProviderAnswer:
        wire = self._parts.choose_format(request.model)
        try:
            response = await self._post(wire.path, wire.to_body(request), request)
            if request.stream:
                return require_usable(await self._read_stream(response, wire, request))
            return require_usable(wire.to_answer(json.loads(response.content), request))
        except (self._parts.errors, *TRANSPORT_ERRORS) as error:
            raise self._parts.classify(error) from None  # the text of a provider's error may repeat the prompt
        except _WRONG_SHAPE as error:
            raise ProviderFault(FaultKind.BROKEN_ANSWER, type(error).__name__, maybe_billed=True) from None  # as above

    async def _post(self, path: str, body: JsonObject, request: ProviderRequest) -> httpx2.Response:
        key = self._parts.connection.key.current()
        try:
            return await self._send(path, body, request, key)
        except self._parts.errors as error:
            # The key may have been rotated since it was read: one more attempt, but only with another key.
            if getattr(error, "status_code", None) != 401 or not self._parts.connection.key.replaced(key):
                raise
        return await self._send(path, body, request, self._parts.connection.key.current())

    async def _send(self, path: str, body: JsonObject, request: ProviderRequest, key: str | None) -> httpx2.Response:
        headers = {**request.headers, **self._parts.connection.endpoint.to_key_header(key or NO_KEY)}
        response = await self._parts.client.post(
            path, cast_to=httpx2.Response, body=body, options={"headers": headers}, stream=request.stream
        )
        if not isinstance(response, httpx2.Response):
            raise TypeError("the SDK returned no raw response")
        return response

    async def _read_stream(
        self, response: httpx2.Response, wire: WireFormat, request: ProviderRequest
    ) -> ProviderAnswer:
        reader = EventReader()
        stream = wire.open_stream(request, TextCollector(request.on_text, self._monotonic))
        try:
            async for piece in response.aiter_bytes():
                for event in reader.feed(piece):
                    stream.on_event(event)
        finally:
            await response.aclose()  # also after a cancellation: the connection would never return to the pool
        return stream.finish()

    async def aclose(self) -> None:
        await self._parts.client.close()
