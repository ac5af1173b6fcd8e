"""Circuit breakers by name (`openai:gpt-4.1`, `tavily`), shared by all workers through Redis.

A name opens after `breaker_failures` failures in a row, stays open for `breaker_reset_seconds` and up to a fifth more
(jitter, so that workers do not probe in step), then lets one probe through. Report as a failure only what says that
the provider is ill (no answer, timeout, 5xx): an answer that refuses (4xx) is a success here, a 429 a `cool_down`.

Cheap while all is well: the last known status is kept for a second, a success is reported only where failures or a
probe were known. So another worker's opening is seen up to a second late. Without Redis each process goes on with
what it last knew, in memory; no method raises for it, and none waits longer than a quarter of a second.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.outbound import breaker_state
from app.outbound.breaker_state import BreakerState, BreakerStatus
from app.ports import Clock
from app.settings import LLMSettings
from app.telemetry.logs import get_logger
from app.telemetry.metrics import OutboundMetrics

KEY_PREFIX = "ao:breaker:"
_FRESH_SECONDS = 1.0
_STALE_SECONDS = 5.0
_REDIS_PATIENCE_SECONDS = 0.25
_REDIS_PAUSE_SECONDS = 2.0
_PROBE_SECONDS = 30.0
_JITTER = 0.2
_GAUGE = {BreakerState.CLOSED: 0, BreakerState.COOLING: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}
_log = get_logger(__name__)

Event = Literal["ask", "succeeded", "failed", "rate_limited", "abandoned"]


@dataclass
class _Known:
    """What this process last heard of a breaker, and when (monotonic seconds)."""

    status: BreakerStatus = breaker_state.CLOSED
    checked_at: float = float("-inf")
    shown: BreakerState | None = None


class CircuitBreaker:
    """All breakers of one process. `redis` None keeps them in memory. Belongs to one event loop."""

    def __init__(
        self,
        settings: LLMSettings,
        *,
        redis: Redis | None,
        metrics: OutboundMetrics,
        clock: Clock,
        rng: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._redis = redis
        self._script = redis.register_script(breaker_state.SCRIPT) if redis is not None else None
        self._metrics = metrics
        self._clock = clock
        self._rng = rng or random.Random()
        self._known: dict[str, _Known] = {}
        self._redis_paused_until = float("-inf")

    async def allow(self, name: str) -> bool:
        """Whether a call may start now. Whoever gets True reports how the call ended, by one of the four below."""
        known = self._of(name)
        status, now = known.status, self._clock.monotonic()
        if status.blocked_until > now:
            return False
        if now - known.checked_at < _FRESH_SECONDS:
            if not status.tripped:
                return True
            if status.probe_until > now:
                return False
        if now - known.checked_at < _STALE_SECONDS:
            known.checked_at = now  # before the round trip: calls that start meanwhile use what is known
        return await self._apply(name, "ask")

    async def succeeded(self, name: str) -> None:
        """The provider answered, with a result or with a refusal of this one request."""
        status = self._of(name).status
        if status.failures or status.tripped:
            await self._apply(name, "succeeded")

    async def failed(self, name: str) -> None:
        """The provider did not answer, or answered that it is ill."""
        await self._apply(name, "failed")

    async def cool_down(self, name: str, seconds: float) -> None:
        """The provider asked for a pause (429): no calls for so long, then again all of them."""
        await self._apply(name, "rate_limited", pause_seconds=seconds)

    async def abandoned(self, name: str) -> None:
        """The call ended without a verdict (cancelled): if it was the probe, the next caller gets it."""
        if self._of(name).status.tripped:
            await self._apply(name, "abandoned")

    def state(self, name: str) -> BreakerState:
        return self._of(name).status.state(self._clock.monotonic())

    def blocked_seconds(self, name: str) -> float:
        """How long until the name lets a call through, as far as this process knows; 0 when it does."""
        return max(0.0, self._of(name).status.blocked_until - self._clock.monotonic())

    def states(self) -> Mapping[str, str]:
        """Every name used so far with its state as this process last knew it."""
        return {name: self._show(name, known).value for name, known in self._known.items()}

    def _of(self, name: str) -> _Known:
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = _Known()
            self._show(name, known)
        return known

    def _show(self, name: str, known: _Known) -> BreakerState:
        state = known.status.state(self._clock.monotonic())
        if state is not known.shown:
            self._metrics.breaker_state.labels(name=name).set(_GAUGE[state])
            if known.shown is not None:
                _log.info("breaker_changed", breaker=name, state=state.value)
            known.shown = state
        return state

    async def _apply(self, name: str, event: Event, *, pause_seconds: float = 0.0) -> bool:
        known = self._of(name)
        reset_seconds = self._settings.breaker_reset_seconds * (1 + self._rng.random() * _JITTER)
        shared = await self._apply_in_redis(name, event, reset_seconds=reset_seconds, pause_seconds=pause_seconds)
        if shared is None:
            shared = self._apply_in_memory(
                known.status, event, reset_seconds=reset_seconds, pause_seconds=pause_seconds
            )
        allowed, known.status = shared
        known.checked_at = self._clock.monotonic()
        self._show(name, known)
        return allowed

    async def _apply_in_redis(
        self, name: str, event: Event, *, reset_seconds: float, pause_seconds: float
    ) -> tuple[bool, BreakerStatus] | None:
        """None when Redis does not answer in time; it is then left alone for a moment."""
        if self._script is None or self._clock.monotonic() < self._redis_paused_until:
            return None
        arguments = [
            event,
            self._settings.breaker_failures,
            *(round(seconds * 1000) for seconds in (reset_seconds, _PROBE_SECONDS, pause_seconds)),
        ]
        try:
            async with asyncio.timeout(_REDIS_PATIENCE_SECONDS):
                reply = cast("list[int]", await self._script(keys=[KEY_PREFIX + name], args=arguments))
        except (RedisError, OSError, TimeoutError) as error:
            self._redis_paused_until = self._clock.monotonic() + _REDIS_PAUSE_SECONDS
            _log.warning("breaker_without_redis", breaker=name, error_type=type(error).__name__)
            return None
        return bool(reply[0]), self._to_status(reply)

    def _to_status(self, reply: list[int]) -> BreakerStatus:
        now = self._clock.monotonic()
        failures_until, blocked_until, probe_until = (
            now + left / 1000 if left else 0.0 for left in (reply[2], reply[3], reply[5])
        )
        return BreakerStatus(
            failures=reply[1],
            failures_until=failures_until,
            blocked_until=blocked_until,
            tripped=bool(reply[4]),
            probe_until=probe_until,
        )

    def _apply_in_memory(
        self, status: BreakerStatus, event: Event, *, reset_seconds: float, pause_seconds: float
    ) -> tuple[bool, BreakerStatus]:
        now = self._clock.monotonic()
        match event:
            case "ask":
                return breaker_state.ask(status, now=now, probe_seconds=_PROBE_SECONDS)
            case "succeeded":
                return True, breaker_state.after_success(status, now=now)
            case "failed":
                threshold = self._settings.breaker_failures
                return True, breaker_state.after_failure(
                    status, now=now, threshold=threshold, reset_seconds=reset_seconds
                )
            case "rate_limited":
                return True, breaker_state.after_rate_limit(status, now=now, seconds=pause_seconds)
            case "abandoned":
                return True, breaker_state.after_abandoned_call(status)
