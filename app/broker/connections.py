"""Redis connections: one kind for commands, which have a time limit, and one for listening, which waits.

A command without a timeout hangs if the server disappears without closing the connection. Connections belong to the
event loop that first uses them.
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
from redis.exceptions import ReadOnlyError, RedisError

from app.broker.channels import SNAPSHOT_KEY, WRITE_CHECK_KEY, WRITE_CHECK_TTL_SECONDS
from app.broker.error_mapping import broker_errors
from app.errors import BrokerUnavailable

CONNECT_SECONDS = 1.0
COMMAND_SECONDS = 2.0
# A subscription is quiet for any time, so only a ping can show that the server is down. This is the interval.
SILENCE_SECONDS = 5.0
RECONNECT_SECONDS = 1.0


def connect_for_commands(url: SecretStr) -> Redis:
    """Builds a client for use under `asyncio.timeout`, as in `redis_command`."""
    # One retry at once, because a pooled connection may have broken while it was idle, or lead to a server that has
    # become a replica; a new connection leads to the primary of now.
    return _connect(url, retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionBroken, ReadOnlyError)))


def connect_for_listening(url: SecretStr) -> Redis:
    """Builds a client for `listen` alone, which connects again by itself."""
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
    """Limits the Redis command in the body to two seconds. Raises BrokerUnavailable if it does not answer in time.

    `action` names the command in the error's text.
    """
    with broker_errors(action):
        # Not the client's `socket_timeout`: sending would then use `asyncio.wait_for`, which on Python 3.11 may swallow
        # the cancellation of its task.
        async with asyncio.timeout(COMMAND_SECONDS):
            yield


async def check_writes(redis: Redis) -> None:
    """Checks that Redis answers and takes writes: one that is full or a replica still answers a ping.

    Raises BrokerUnavailable, and BrokerUnsuitable for a Redis Cluster.
    """
    async with redis_command("take a write"):
        await redis.set(WRITE_CHECK_KEY, 1, ex=WRITE_CHECK_TTL_SECONDS)
        # Two keys that no cluster keeps in one slot. It refuses them also if it has a single node, as the queue would
        # find out, which waits for several lists at once.
        await redis.exists(WRITE_CHECK_KEY, SNAPSHOT_KEY)


async def listen(redis: Redis, channel: str) -> AsyncIterator[str]:
    """Yields the messages of the channel until cancelled. Connects again by itself and misses what came in between.

    A server that sends nothing for five seconds gets a ping. Its connection is closed if it does not answer in time.
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
    """Yields the messages of one connection. Raises if it breaks, or if the server does not answer a ping."""
    asked = False
    try:
        while True:
            async with asyncio.timeout(SILENCE_SECONDS + COMMAND_SECONDS):
                message = await pubsub.get_message(timeout=SILENCE_SECONDS)
                if message is None and asked:
                    raise BrokerUnavailable("Redis did not answer a ping on a subscription; connecting again.")
                if message is None:
                    await pubsub.ping()
            asked = message is None
            if message is not None and message["type"] == "message":
                yield str(message["data"])
    except (BrokerUnavailable, TimeoutError, OSError, RedisError):
        connection: Connection | None = getattr(pubsub, "connection", None)
        if connection is not None:
            await connection.disconnect(nowait=True)  # waiting for the close would hang on a server that is down
        raise
