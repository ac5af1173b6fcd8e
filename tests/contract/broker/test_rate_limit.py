"""The promises of the rate limiter, tested in Redis and in memory."""

from __future__ import annotations

import asyncio
import socket

import pytest
from redis.asyncio import Redis

from app.broker.rate_limit import MemoryRateLimiter, RedisRateLimiter, Window, decide, seconds_until_room
from app.ports import RateLimiter
from app.system_clock import SystemClock
from tests.support.doubles import ManualClock
from tests.support.servers import HOST, broker_server, free_port


@pytest.fixture(params=["redis", "memory"])
def limiter(request: pytest.FixtureRequest, redis_client: Redis) -> RateLimiter:
    if request.param == "redis":
        return RedisRateLimiter(redis_client, SystemClock())
    return MemoryRateLimiter(SystemClock())


async def test_as_many_as_allowed_and_no_more(limiter: RateLimiter) -> None:
    decisions = await asyncio.gather(*(limiter.hit("a", limit_per_minute=10) for _ in range(15)))

    assert sum(decision.allowed for decision in decisions) == 10
    refused = [decision for decision in decisions if not decision.allowed]
    assert all(1 <= decision.retry_after_seconds <= 66 for decision in refused)
    assert all(decision.remaining == 0 for decision in refused)


async def test_buckets_are_apart(limiter: RateLimiter) -> None:
    await limiter.hit("a", limit_per_minute=1)

    assert not (await limiter.hit("a", limit_per_minute=1)).allowed
    assert (await limiter.hit("b", limit_per_minute=1)).allowed


async def test_what_remains_is_told(limiter: RateLimiter) -> None:
    assert (await limiter.hit("a", limit_per_minute=3)).remaining == 2
    assert (await limiter.hit("a", limit_per_minute=3)).remaining == 1


async def test_the_window_slides() -> None:
    clock = ManualClock()
    clock.seconds = 30.0
    limiter = MemoryRateLimiter(clock)
    assert all([(await limiter.hit("a", limit_per_minute=10)).allowed for _ in range(10)])

    clock.seconds = 90.0  # half of the earlier minute still counts: room for five
    allowed = [(await limiter.hit("a", limit_per_minute=10)).allowed for _ in range(7)]
    clock.seconds = 210.0
    later = await limiter.hit("a", limit_per_minute=10)

    assert allowed == [True] * 5 + [False] * 2
    assert later.remaining == 9


@pytest.mark.parametrize(
    ("window", "seconds"),
    [
        (Window(previous=0, current=10, elapsed_seconds=0), 66),
        (Window(previous=10, current=5, elapsed_seconds=30), 6),
        (Window(previous=10, current=0, elapsed_seconds=0), 6),
        (Window(previous=0, current=10, elapsed_seconds=59.9), 7),
    ],
)
def test_after_the_told_time_one_more_fits(window: Window, seconds: int) -> None:
    assert seconds_until_room(window, limit=10) == seconds
    at = window.elapsed_seconds + seconds
    then = Window(window.previous, window.current, at) if at < 60 else Window(window.current, 0, at - 60)
    assert then.used() + 1 <= 10.001


def test_an_allowed_request_need_not_wait() -> None:
    assert decide(Window(0, 1, 0), limit=1, allowed=True).retry_after_seconds == 0


async def test_without_redis_each_process_counts_by_itself() -> None:
    redis: Redis = Redis.from_url(f"redis://{HOST}:{free_port()}/0")
    limiter = RedisRateLimiter(redis, SystemClock())

    allowed = [(await limiter.hit("a", limit_per_minute=2)).allowed for _ in range(3)]
    other = (await limiter.hit("b", limit_per_minute=2)).allowed
    await redis.aclose()

    assert allowed == [True, True, False]
    assert other


async def test_an_outage_of_redis_gives_nobody_a_fresh_minute() -> None:
    with broker_server() as server:
        redis: Redis = Redis.from_url(server.url)
        limiter = RedisRateLimiter(redis, SystemClock())
        before = [(await limiter.hit("a", limit_per_minute=2)).allowed for _ in range(2)]
        server.stop()
        after = (await limiter.hit("a", limit_per_minute=2)).allowed
        await redis.aclose()

    assert (before, after) == ([True, True], False)


async def test_a_redis_that_hangs_delays_nobody_for_long() -> None:
    with socket.create_server((HOST, 0)) as silent:
        redis: Redis = Redis.from_url(f"redis://{HOST}:{silent.getsockname()[1]}/0")
        async with asyncio.timeout(1):
            decision = await RedisRateLimiter(redis, SystemClock()).hit("a", limit_per_minute=2)
        await redis.aclose()

    assert decision.allowed
