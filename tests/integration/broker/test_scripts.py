"""Scripts over shared state on a real Redis, and on one that never answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.broker import scripts
from app.broker.scripts import SharedScript, reply_in_time
from tests.support.doubles import ManualClock

COUNT = "return {redis.call('INCRBY', KEYS[1], ARGV[1])}"


@pytest.fixture
async def silent_redis() -> AsyncIterator[Redis]:
    async def listen(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    client = Redis.from_url(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
    yield client
    await client.aclose()
    server.close()


def script(redis: Redis | None, *, clock: ManualClock | None = None, pause: float = 2.0) -> SharedScript:
    return SharedScript(
        redis, COUNT, event="counted_alone", clock=clock or ManualClock(), patience_seconds=0.05, pause_seconds=pause
    )


async def test_reply_is_what_the_script_returns(redis_client: Redis) -> None:
    counting = SharedScript(redis_client, COUNT, event="counted_alone", clock=ManualClock(), patience_seconds=5.0)
    assert await counting.run(keys=["ao:test:count"], args=[2]) == [2]
    assert await counting.run(keys=["ao:test:count"], args=[3]) == [5]


async def test_without_redis_there_is_no_reply() -> None:
    assert await script(None).run(keys=["k"], args=[1]) is None


async def test_a_silent_redis_is_left_alone_for_the_pause(silent_redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, sent = ManualClock(), 0

    async def count(*args: object, **options: object) -> None:
        nonlocal sent
        sent += 1
        await asyncio.Event().wait()

    monkeypatch.setattr(silent_redis, "execute_command", count)
    monkeypatch.setattr(silent_redis, "evalsha", count)
    counting = script(silent_redis, clock=clock)
    assert [await counting.run(keys=["k"], args=[1]) for _ in range(5)] == [None] * 5
    assert sent == 1
    clock.advance(2.0)
    assert await counting.run(keys=["k"], args=[1]) is None
    assert sent == 2


async def test_without_a_pause_each_call_is_sent(silent_redis: Redis) -> None:
    renewing = script(silent_redis, pause=0.0)
    began = asyncio.get_running_loop().time()
    assert [await renewing.run(keys=["k"], args=[1]) for _ in range(3)] == [None] * 3
    assert asyncio.get_running_loop().time() - began >= 0.15


async def test_a_command_has_a_quarter_of_a_second(silent_redis: Redis) -> None:
    began = asyncio.get_running_loop().time()
    assert await reply_in_time(silent_redis.zrem("k", "v"), event="not_removed") is None
    assert scripts.PATIENCE_SECONDS == 0.25
    assert asyncio.get_running_loop().time() - began >= 0.25
