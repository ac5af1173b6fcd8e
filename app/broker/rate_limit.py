"""The rate limits that all API processes share: a sliding window of a minute, counted in Redis by one script.

The window consists of two fixed minutes. The earlier one is weighted by its share of the last sixty seconds. A refused
request is not counted. While Redis is unavailable each process counts by itself: the API is then neither open without
limits nor closed for everyone.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

from redis.asyncio import Redis

from app.broker.scripts import SharedScript
from app.ports import Clock, RateDecision

# Less than other scripts get: every request of the API waits for this answer before anything else is done.
BUDGET_SECONDS = 0.05
AVOID_SECONDS = 1.0
WINDOW_SECONDS = 60
# A bucket is a key or an address: the number bounds the memory that callers with many addresses can take.
_BUCKETS_REMEMBERED = 10_000

# KEYS[1] a hash {w: number of the minute, p: count of the minute before, c: count of this one}; ARGV[1] the limit.
# A count matters in its own minute and in the next one, so the hash expires shortly after two minutes.
_SCRIPT = """
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
local minute = math.floor(now / 60)
local h = redis.call('HMGET', KEYS[1], 'w', 'p', 'c')
local w, p, c = tonumber(h[1] or '-2'), tonumber(h[2] or '0'), tonumber(h[3] or '0')
if w == minute - 1 then p, c = c, 0 elseif w ~= minute then p, c = 0, 0 end
local elapsed = now - minute * 60
local allowed = 0
if p * (1 - elapsed / 60) + c + 1 <= tonumber(ARGV[1]) then
  allowed = 1
  c = c + 1
  redis.call('HSET', KEYS[1], 'w', minute, 'p', p, 'c', c)
  redis.call('EXPIRE', KEYS[1], 130)
end
return {allowed, p, c, math.floor(elapsed * 1000)}
"""


@dataclass(frozen=True)
class Window:
    """The counts of the minute before and of this one, which began `elapsed_seconds` ago."""

    previous: int
    current: int
    elapsed_seconds: float

    def used(self) -> float:
        """Estimates the requests of the last sixty seconds."""
        return self.previous * (1 - self.elapsed_seconds / WINDOW_SECONDS) + self.current


def decide(window: Window, *, limit: int, allowed: bool) -> RateDecision:
    """Builds the decision; `window` already contains the request."""
    return RateDecision(
        allowed=allowed,
        limit=limit,
        remaining=max(0, math.floor(limit - window.used())),
        retry_after_seconds=0 if allowed else seconds_until_room(window, limit=limit),
    )


def seconds_until_room(window: Window, *, limit: int) -> int:
    """Computes the whole seconds, at least 1, until one more request fits."""
    if window.current + 1 <= limit and window.previous > 0:
        share = 1 - (limit - window.current - 1) / window.previous
        wait = share * WINDOW_SECONDS - window.elapsed_seconds
    else:
        share = 1 - (limit - 1) / max(window.current, 1)
        wait = WINDOW_SECONDS - window.elapsed_seconds + share * WINDOW_SECONDS
    return max(1, math.ceil(wait))


class MemoryRateLimiter:
    """The same window for this process alone. Implements `app.ports.RateLimiter` without a server."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[int, int, int]] = OrderedDict()

    async def hit(self, bucket: str, *, limit_per_minute: int) -> RateDecision:
        """Counts one request if it is within the limit."""
        now = self._clock.monotonic()
        minute = int(now // WINDOW_SECONDS)
        counted_in, previous, current = self._buckets.pop(bucket, (minute, 0, 0))
        if counted_in == minute - 1:
            previous, current = current, 0
        elif counted_in != minute:
            previous, current = 0, 0
        window = Window(previous, current, now - minute * WINDOW_SECONDS)
        allowed = window.used() + 1 <= limit_per_minute
        if allowed:
            window = Window(previous, current + 1, window.elapsed_seconds)
        self._buckets[bucket] = (minute, window.previous, window.current)
        if len(self._buckets) > _BUCKETS_REMEMBERED:
            self._buckets.popitem(last=False)
        return decide(window, limit=limit_per_minute, allowed=allowed)


class RedisRateLimiter:
    """The window in Redis. Implements `app.ports.RateLimiter`. After a failure no command is sent for a second."""

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._script = SharedScript(
            redis,
            _SCRIPT,
            event="rate_limit_in_memory",
            clock=clock,
            patience_seconds=BUDGET_SECONDS,
            pause_seconds=AVOID_SECONDS,
        )
        self._fallback = MemoryRateLimiter(clock)

    async def hit(self, bucket: str, *, limit_per_minute: int) -> RateDecision:
        """Counts one request in Redis, or in this process if Redis does not answer."""
        # In memory too, always: otherwise a Redis that fails would give every caller a fresh minute.
        own_count = await self._fallback.hit(bucket, limit_per_minute=limit_per_minute)
        reply = await self._script.run(keys=[f"ao:rate:{bucket}"], args=[limit_per_minute])
        if reply is None:
            return own_count
        allowed, previous, current, elapsed_ms = reply
        return decide(Window(previous, current, elapsed_ms / 1000), limit=limit_per_minute, allowed=bool(allowed))
