"""Circuit breakers by name (`openai:gpt-4.1`, `tavily`), shared by all workers through Redis.

A name opens after `breaker_failures` failures in a row, stays open for `breaker_reset_seconds` and up to a fifth more,
then lets one probe through. Report as a failure only an outcome that shows an unhealthy provider (no answer, timeout,
5xx). An answer that refuses the request (4xx) is a success here, and a 429 is a `cool_down`.

A healthy provider costs little: the last known status is used for a second. So a worker sees that another one opened a
breaker up to a second late. Without Redis each process continues in memory with the status that it knew last. No method
raises an error of Redis, and none waits longer than a quarter of a second for it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from redis.asyncio import Redis

from app.broker.scripts import SharedScript
from app.outbound import breaker_state
from app.outbound.breaker_state import BreakerState, BreakerStatus
from app.ports import Clock
from app.settings import LLMSettings
from app.telemetry.logs import get_logger
from app.telemetry.metrics import OutboundMetrics

KEY_PREFIX = "ao:breaker:"
# With many calls at once Redis is read once a second for each name, not once for each call.
_FRESH_SECONDS = 1.0
# A status up to this old still serves the calls that start during a round trip; with an older one they all wait for it.
_STALE_SECONDS = 5.0
# If a worker dies during its probe, the name stays closed to everyone for this long. A call may wait up to 30 s for its
# first byte (the maximum of AGENT_LLM_TIMEOUT_SECONDS); a shorter time would let a second probe through.
_PROBE_SECONDS = 30.0
# Breakers that opened together must not probe together.
_JITTER = 0.2
# COOLING counts as closed: the provider answers, and the alert on an open breaker must not fire for a 429.
_GAUGE = {BreakerState.CLOSED: 0, BreakerState.COOLING: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}
_log = get_logger(__name__)

Event = Literal["ask", "succeeded", "failed", "rate_limited", "abandoned"]


@dataclass
class _Known:
    """The status of a breaker as this process last read it, and the time of that (monotonic seconds)."""

    status: BreakerStatus = breaker_state.CLOSED
    checked_at: float = float("-inf")
    recorded: BreakerState | None = None


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
        self._script = SharedScript(redis, breaker_state.SCRIPT, event="breaker_without_redis", clock=clock)
        self._metrics = metrics
        self._clock = clock
        self._rng = rng or random.Random()
        self._known: dict[str, _Known] = {}

    async def allow(self, name: str) -> bool:
        """Checks whether a call may start now.

        A caller that gets True must report the end of the call, by one of the four methods below.
        """
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
        """Records that the provider answered, with a result or with a refusal of this one request."""
        status = self._of(name).status
        if status.failures or status.tripped:  # otherwise a success changes nothing, and Redis need not know of it
            await self._apply(name, "succeeded")

    async def failed(self, name: str) -> None:
        """Records that the provider did not answer, or answered with an error of its own."""
        await self._apply(name, "failed")

    async def cool_down(self, name: str, seconds: float) -> None:
        """Stops all calls for the pause that the provider requested (429). Afterwards all of them may start again."""
        await self._apply(name, "rate_limited", pause_seconds=seconds)

    async def abandoned(self, name: str) -> None:
        """Records that the call ended without a verdict (cancelled). If it was the probe, the next caller gets it."""
        if self._of(name).status.tripped:
            await self._apply(name, "abandoned")

    def state(self, name: str) -> BreakerState:
        """Returns the state as far as this process knows it."""
        return self._of(name).status.state(self._clock.monotonic())

    def blocked_seconds(self, name: str) -> float:
        """Returns the seconds until the name lets a call through, as far as this process knows; 0 if it does now."""
        return max(0.0, self._of(name).status.blocked_until - self._clock.monotonic())

    def states(self) -> Mapping[str, str]:
        """Returns every name used so far with its state as far as this process knows it."""
        return {name: self._record_state(name, known).value for name, known in self._known.items()}

    def _of(self, name: str) -> _Known:
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = _Known()
            self._record_state(name, known)
        return known

    def _record_state(self, name: str, known: _Known) -> BreakerState:
        state = known.status.state(self._clock.monotonic())
        if state is not known.recorded:
            self._metrics.breaker_state.labels(name=name).set(_GAUGE[state])
            if known.recorded is not None:
                _log.info("breaker_changed", breaker=name, state=state.value)
            known.recorded = state
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
        self._record_state(name, known)
        return allowed

    async def _apply_in_redis(
        self, name: str, event: Event, *, reset_seconds: float, pause_seconds: float
    ) -> tuple[bool, BreakerStatus] | None:
        """Applies the event to the shared state. Returns None if Redis does not answer in time."""
        milliseconds = (round(seconds * 1000) for seconds in (reset_seconds, _PROBE_SECONDS, pause_seconds))
        arguments = [event, self._settings.breaker_failures, *milliseconds]
        reply = await self._script.run(keys=[KEY_PREFIX + name], args=arguments, breaker=name)
        return (bool(reply[0]), self._to_status(reply)) if reply is not None else None

    def _to_status(self, reply: Sequence[int]) -> BreakerStatus:
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
