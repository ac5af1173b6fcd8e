"""A server of models that answers with scripted bytes, and the adapter that calls it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pydantic import SecretStr

from app.llm.provider_table import PROVIDERS, Provider
from app.llm.providers.endpoints import Connection
from app.llm.providers.http_adapter import HttpAdapter
from app.llm.providers.wire import WireFormat
from app.outbound.http import build_model_client, build_ssl_context
from app.outbound.provider_key import ProviderKey
from app.settings import LLMSettings
from app.telemetry.metrics import WorkerMetrics

Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
CREDENTIAL_HEADERS = ("authorization", "x-api-key", "api-key")
# The text "Hi", as each provider answers with it.
SHORT_ANSWERS = {
    Provider.OPENAI: b'{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}], "model": "m-1"}',
    Provider.ANTHROPIC: b'{"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}], '
    b'"stop_reason": "end_turn", "model": "m", "id": "1", "usage": {"input_tokens": 1, "output_tokens": 1}}',
}
# Reading the public certificates takes longer than most tests.
_trust = cache(build_ssl_context)


def response(
    body: bytes, *, status: str = "200 OK", kind: str = "application/json", headers: Mapping[str, str] | None = None
) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class WireServer:
    """A server that answers each request with the next of `replies` (the last one for ever) and keeps the requests."""

    replies: list[bytes | Reply]
    heads: list[dict[str, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    url: str = ""
    _answering: dict[asyncio.Task[None], asyncio.Future[None]] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering = asyncio.ensure_future(self._answer(reader, writer))
        connection = asyncio.current_task()
        assert connection is not None
        self._answering[connection] = answering
        await asyncio.wait([answering])
        writer.close()
        if not answering.cancelled():
            answering.result()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines if line)
        await reader.readexactly(int(fields.get("content-length", "0")))
        self.lines.append(first)
        self.heads.append(fields)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, bytes):
            writer.write(reply)
        else:
            await reply(reader, writer)

    async def stop(self) -> None:
        """Ends the replies that are under way: their clients have read what they wanted."""
        for answering in self._answering.values():
            answering.cancel()
        if self._answering:
            await asyncio.wait(self._answering)


@asynccontextmanager
async def serving(*replies: bytes | Reply) -> AsyncIterator[WireServer]:
    server = WireServer(list(replies))
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        try:
            yield server
        finally:
            await server.stop()


@asynccontextmanager
async def adapting(
    url: str, *, provider: Provider = Provider.OPENAI, key: str | None = "sk-1", key_file: Path | None = None
) -> AsyncIterator[HttpAdapter]:
    secret = SecretStr(key) if key is not None else None
    connection = Connection(
        PROVIDERS[provider].endpoint,
        ProviderKey(provider.value, value=secret, path=key_file, metrics=WorkerMetrics(version="0").outbound),
        url,
        PROVIDERS[provider].address_variable,
    )
    adapter = HttpAdapter(build_model_client(_trust()), connection, _load_formats(provider))
    try:
        yield adapter
    finally:
        await adapter.aclose()


@cache
def _load_formats(provider: Provider) -> Callable[[str], WireFormat]:
    return PROVIDERS[provider].load(LLMSettings())
