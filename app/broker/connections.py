"""Redis connections: one kind for commands, which answer soon or fail, and one for listening, which waits.

A command without a timeout hangs on a server that went away without a word. It is `asyncio.timeout` that limits one,
not the client's `socket_timeout`: sending would then use `asyncio.wait_for`, which on Python 3.11 may swallow the
cancellation of its task. Connections belong to the event loop that first uses them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr
from redis.asyncio import Connection, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionBroken
from redis.exceptions import RedisError

from app.broker.error_mapping import broker_errors
from app.errors import BrokerUnavailable

CONNECT_SECONDS = 1.0
COMMAND_SECONDS = 2.0
SILENCE_SECONDS = 5.0
RECONNECT_SECONDS = 1.0


def connect_for_commands(url: SecretStr) -> Redis:
    """A client for use under `asyncio.timeout`, as in `redis_command`; a connection that broke is replaced once."""
    return _connect(url, retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionBroken,)))


def connect_for_listening(url: SecretStr) -> Redis:
    """A client for `listen` alone, which connects again by itself."""
    return _connect(url, retry=Retry(NoBackoff(), 0))


def _connect(url: SecretStr, *, retry: Retry) -> Redis:
    return Redis.from_url(
        url.get_secret_value(),
        decode_responses=True,
        encoding_errors="replace",
        socket_connect_timeout=CONNECT_SECONDS,
        retry=retry,
    )


@asynccontextmanager
async def redis_command(action: str) -> AsyncIterator[None]:
    """What is asked inside answers within two seconds, or BrokerUnavailable is raised. `action` says what was tried."""
    with broker_errors(action):
        async with asyncio.timeout(COMMAND_SECONDS):
            yield


async def listen(redis: Redis, channel: str) -> AsyncIterator[str]:
    """What is published on the channel, until cancelled; connects again by itself, what came meanwhile is missed.

    A server that says nothing for five seconds is asked for a word, and left when it gives none for another five.
    """
    while True:
        try:
            with broker_errors("listen"):
                async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    async with asyncio.timeout(COMMAND_SECONDS):
                        await pubsub.subscribe(channel)
                    async for text in _messages(pubsub):
                        yield text
        except BrokerUnavailable:
            await asyncio.sleep(RECONNECT_SECONDS)


async def _messages(pubsub: PubSub) -> AsyncIterator[str]:
    """Ends when the server has fallen silent; then its connection is dropped without a goodbye."""
    asked = False
    try:
        while True:
            async with asyncio.timeout(SILENCE_SECONDS + COMMAND_SECONDS):
                message = await pubsub.get_message(timeout=SILENCE_SECONDS)
                if message is None and asked:
                    raise BrokerUnavailable("Redis fell silent; connecting again")
                if message is None:
                    await pubsub.ping()
            asked = message is None
            if message is not None and message["type"] == "message":
                yield str(message["data"])
    except (BrokerUnavailable, TimeoutError, OSError, RedisError):
        connection: Connection | None = getattr(pubsub, "connection", None)
        if connection is not None:
            await connection.disconnect(nowait=True)
        raise
