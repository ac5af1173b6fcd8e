"""Subscriptions on a connection whose other end stays silent."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from app.broker.connections import connect_for_listening, listen
from tests.support.servers import HOST

SUBSCRIBED = b"*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n"
MESSAGE = b"*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$5\r\nhello\r\n"
OK = b"+OK\r\n"


@pytest.mark.parametrize("mute", ["from its first byte", "once it has subscribed"])
async def test_a_silent_connection_is_replaced(monkeypatch: pytest.MonkeyPatch, mute: str) -> None:
    for name in ("SILENCE_SECONDS", "COMMAND_SECONDS", "RECONNECT_SECONDS"):
        monkeypatch.setattr(f"app.broker.connections.{name}", 0.5)
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Never sends a message on the first connection, and sends one on the second."""
        nonlocal connections
        connections += 1
        first = connections == 1
        while command := await reader.read(1000):
            if first and mute == "from its first byte":
                continue
            # On connecting, the client sends two SETINFO commands and reads a reply to each.
            writer.write(OK * command.count(b"SETINFO"))
            if b"SUBSCRIBE" not in command:
                continue
            writer.write(SUBSCRIBED if first else SUBSCRIBED + MESSAGE)
        writer.close()

    async with await asyncio.start_server(serve, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        redis = connect_for_listening(SecretStr(f"redis://{HOST}:{port}/0"))
        async with asyncio.timeout(10):
            async for text in listen(redis, "ch"):
                assert text == "hello"
                break
        await redis.aclose()
    assert connections == 2
