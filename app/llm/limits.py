"""The limits of a provider that all workers share through Redis: calls at once, and calls a minute.

A call in progress holds a permit. The worker renews it; the permit of a dead worker expires by itself. The rate is a
leaky bucket that accepts ten seconds' worth at once. A call that finds its provider full waits a little, then the chain
goes on to its next model. If every model is full, the task comes back later. Without Redis there are no limits except
the provider's own 429.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from app.broker.scripts import SharedScript, reply_in_time
from app.llm.faults import FaultKind, ProviderFault
from app.llm.provider_table import Provider
from app.ports import Clock
from app.settings import LLMSettings, ProviderSettings

PERMIT_SECONDS = 60.0
# A third of a permit's life: one renewal may fail without the loss of the permit.
RENEW_SECONDS = 20.0
# The longest wait for a permit; a longer one would hold a slot of the worker for a call that has not begun.
PATIENCE_SECONDS = 5.0
_SHORTEST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 0.5

# KEYS: a sorted set of permits by their end, and the time (ms) at which the bucket will be empty again. ARGV: the
# permit, most calls at once, calls a minute (0: no limit), the life of a permit (ms). Returns {granted, wait in ms}.
# The times are those of the server: the clocks of two workers may differ by more than a permit lasts.
_ACQUIRE = """
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local calls, rate = tonumber(ARGV[2]), tonumber(ARGV[3])
if calls > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
  if redis.call('ZCARD', KEYS[1]) >= calls then return {0, 0} end
end
if rate > 0 then
  local gap = 60000 / rate
  local empty_at = math.max(now, tonumber(redis.call('GET', KEYS[2]) or '0'))
  local wait = empty_at + gap - now - math.max(gap, 10000)
  if wait > 0 then return {0, math.ceil(wait)} end
  redis.call('SET', KEYS[2], string.format('%.3f', empty_at + gap), 'PX', 120000)
end
if calls > 0 then
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[4]), ARGV[1])
  redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[4]))
end
return {1, 0}
"""

# KEYS: the permits. ARGV: their life from now (ms), then the permits. XX: one that has expired is not revived, because
# another call may hold its place.
_RENEW = """
local t = redis.call('TIME')
local ends = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000) + tonumber(ARGV[1])
for at = 2, #ARGV do redis.call('ZADD', KEYS[1], 'XX', ends, ARGV[at]) end
redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[1]))
return {1}
"""


@dataclass(frozen=True)
class Limit:
    """The limits of one provider, 0 for none."""

    calls_at_once: int = 0
    calls_per_minute: int = 0

    def __bool__(self) -> bool:
        return bool(self.calls_at_once or self.calls_per_minute)


_NO_LIMIT = Limit()


class ProviderLimits:
    """All limits of one process. Belongs to one event loop."""

    def __init__(
        self,
        settings: LLMSettings,
        *,
        redis: Redis | None,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        # A provider that is asked through LangChain has no settings, so it has no limits here.
        self._limits: dict[str, Limit] = {provider: _limit_of(settings.of_provider(provider)) for provider in Provider}
        self._redis = redis
        self._acquire = SharedScript(redis, _ACQUIRE, event="limits_without_redis", clock=clock)
        # Without a pause: a permit that is not renewed in time expires although its call still runs.
        self._renew = SharedScript(redis, _RENEW, event="permits_not_renewed", clock=clock, pause_seconds=0.0)
        self._clock = clock
        self._sleep = sleep
        self._rng = rng or random.Random()
        self._held: dict[str, set[str]] = {provider: set() for provider in Provider}

    @asynccontextmanager
    async def permit(self, provider: str, *, remaining_seconds: float) -> AsyncIterator[None]:
        """Waits for a permit and holds it. Raises ProviderFault (`limited`) if none becomes free in time."""
        limit = self._limits.get(provider, _NO_LIMIT)
        if not limit:
            yield
            return
        permit = uuid.uuid4().hex
        await self._wait_for(provider, limit, permit, give_up_after=min(PATIENCE_SECONDS, remaining_seconds))
        self._held[provider].add(permit)
        try:
            yield
        finally:
            self._held[provider].discard(permit)
            await self._release(provider, limit, permit)

    async def run(self) -> None:
        """Renews the held permits, until cancelled."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self.renew()

    async def renew(self) -> None:
        """Extends the permits of the calls in progress."""
        for provider, permits in self._held.items():
            if permits and self._limits[provider].calls_at_once:
                arguments: list[str | int] = [round(PERMIT_SECONDS * 1000), *permits]
                await self._renew.run(keys=[_permits(provider)], args=arguments, provider=provider)

    async def _wait_for(self, provider: str, limit: Limit, permit: str, *, give_up_after: float) -> None:
        give_up_at = self._clock.monotonic() + give_up_after
        while True:
            granted, wait_seconds = await self._acquire_permit(provider, limit, permit)
            if granted:
                return
            pause = min(max(wait_seconds, _SHORTEST_WAIT_SECONDS), _LONGEST_WAIT_SECONDS)
            pause *= 1 + self._rng.random()  # waiters of all workers must not come back in step
            if self._clock.monotonic() + pause >= give_up_at:
                # The task gives up its slot meanwhile, which is not worth it for less than a second.
                raise ProviderFault(FaultKind.LIMITED, provider, retry_after=max(wait_seconds, 1.0))
            await self._sleep(pause)

    async def _acquire_permit(self, provider: str, limit: Limit, permit: str) -> tuple[bool, float]:
        lasting_ms = round(PERMIT_SECONDS * 1000)
        reply = await self._acquire.run(
            keys=[_permits(provider), _rate(provider)],
            args=[permit, limit.calls_at_once, limit.calls_per_minute, lasting_ms],
            provider=provider,
        )
        if reply is None:
            return True, 0.0
        granted, wait_ms = reply
        return bool(granted), int(wait_ms) / 1000

    async def _release(self, provider: str, limit: Limit, permit: str) -> None:
        if self._redis is not None and limit.calls_at_once:
            command = self._redis.zrem(_permits(provider), permit)
            await reply_in_time(command, event="permit_not_released", provider=provider)


def _limit_of(settings: ProviderSettings) -> Limit:
    return Limit(settings.calls_at_once or 0, settings.calls_per_minute or 0)


# Braces: a Redis cluster keeps keys with the same text in them on one node, and a script may use keys of one node only.
def _permits(provider: str) -> str:
    return f"ao:limit:{{{provider}}}:calls"


def _rate(provider: str) -> str:
    return f"ao:limit:{{{provider}}}:rate"
