"""Circuit breakers by name (`openai:gpt-4.1`, `tavily`), shared by all workers through Redis.

A name opens after failures in a row of `breaker_failures` different tasks, stays open for `breaker_reset_seconds` and
up to a fifth more, then lets one probe through. Report as a failure only an outcome that shows an unhealthy provider
(no answer, timeout, 5xx). An answer that refuses the request (4xx) is a success here. A 429 is a `cool_down`: a pause
of at most `retry_after_cap_seconds`, and then one probe.

`by` names the task of a call; it is an id that the task keeps however often it is tried. Only a digest of it is stored
and compared. All calls without it count as calls of the same task.

A healthy provider costs little: the last known status is used for a second. So a worker sees that another one opened a
breaker up to a second late. Without Redis each process continues in memory with the status that it knew last. No method
raises an error of Redis, and none waits longer than a quarter of a second for it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2s

from redis.asyncio import Redis

from app.broker.scripts import SharedScript
from app.outbound import breaker_state
from app.outbound.breaker_state import BreakerRules, BreakerState, BreakerStatus, Event
from app.ports import Clock
from app.settings import LLMSettings
from app.telemetry.logs import get_logger
from app.telemetry.metrics import OutboundMetrics

KEY_PREFIX = "ao:breaker:"
# With many calls at once Redis is read once a second for each name, not once for each call.
_FRESH_SECONDS = 1.0
# A status up to this old still serves the calls that start during a round trip; with an older one they all wait for it.
_STALE_SECONDS = 5.0
# If a worker dies during its probe, the name stays closed to everyone for this long. Most calls have ended by then, at
# the latest after the maximum of AGENT_LLM_TIMEOUT_SECONDS; beside a thinking model a second probe may go.
_PROBE_SECONDS = 30.0
# A 429 comes in less than a second. The longer this is, the longer a busy model is idle if its answers take longer: 16
# callers of a model that accepts one call a second and answers after eight took 1.1 times the least time with 1 s here,
# 3.2 times with 30 s; 64 callers of one that accepts ten took 1.5 times with 1 s, 2.4 times with 2 s.
_VERDICT_SECONDS = 1.0
# The longest wait for the verdict of a probe after a pause. After that the call goes to another provider, or gives its
# slot to another task.
PATIENCE_SECONDS = 5.0
# The wait between two looks for the verdict. It is random, because the calls that waited follow the probe one by one
# then, and a limit of calls a second refuses fewer of them.
_LOOK_SECONDS = (0.1, 1.0)
# uvloop's timers fire up to a millisecond early: the breaker would still refuse.
_TIMER_MARGIN_SECONDS = 0.005
# The answer of a probe takes some seconds; tasks that are refused meanwhile must not come back together.
_PROBE_WAIT_SECONDS = (1.0, 3.0)
# Breakers that opened together must not probe together.
_JITTER = 0.2
# 48 bits: among the 1,000 tasks that a breaker counts at most, two with the same digest are as good as impossible.
_DIGEST_BYTES = 6
# COOLING counts as closed: the provider answers, and the alert on an open breaker must not fire for a 429.
_GAUGE = {BreakerState.CLOSED: 0, BreakerState.COOLING: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}
_log = get_logger(__name__)


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
        self._rules = BreakerRules(
            threshold=settings.breaker_failures,
            reset_seconds=settings.breaker_reset_seconds,
            probe_seconds=_PROBE_SECONDS,
            verdict_seconds=_VERDICT_SECONDS,
            longest_pause_seconds=settings.retry_after_cap_seconds,
        )
        self._script = SharedScript(redis, breaker_state.SCRIPT, event="breaker_without_redis", clock=clock)
        self._metrics = metrics
        self._clock = clock
        self._rng = rng or random.Random()
        self._known: dict[str, _Known] = {}

    async def allow(self, name: str, *, by: str = "") -> bool:
        """Checks whether a call may start now.

        A caller that gets True must report the end of the call, by one of the four methods below, with the same `by`.
        """
        known = self._of(name)
        status, now = known.status, self._clock.monotonic()
        if status.blocked_until > now:
            return False
        if now - known.checked_at < _FRESH_SECONDS:
            if not (status.tripped or status.paused):
                return True
            if status.probe_until > now:
                return False
        if now - known.checked_at < _STALE_SECONDS:
            known.checked_at = now  # before the round trip: calls that start meanwhile use what is known
        return await self._apply(name, "ask", by=by)

    async def allow_soon(
        self,
        name: str,
        *,
        by: str,
        patience_seconds: float = PATIENCE_SECONDS,
        through_pause: bool = False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> bool:
        """Checks like `allow`, but while another call is the probe after a pause, waits for its verdict.

        So the calls that a 429 has stopped do not all fail because one of them goes first. With `through_pause` it also
        waits for the rest of a pause that ends in time.
        """
        while not await self.allow(name, by=by):
            wait = self._seconds_to_verdict(name, through_pause=through_pause)
            if wait is None or wait > patience_seconds:
                return False
            patience_seconds -= wait
            await sleep(wait)
        return True

    def _seconds_to_verdict(self, name: str, *, through_pause: bool) -> float | None:
        """Returns the seconds until the next look makes sense. None: the name is ill, or paused, and no wait helps."""
        pause = self.blocked_seconds(name)
        if self.state(name).tripped or (pause and not through_pause):
            return None
        return pause + _TIMER_MARGIN_SECONDS if pause else self._rng.uniform(*_LOOK_SECONDS)

    async def succeeded(self, name: str, *, by: str = "") -> None:
        """Records that the provider answered, with a result or with a refusal of this one request."""
        status = self._of(name).status
        if status.blocked_until > self._clock.monotonic():
            return  # the call began before that
        # Otherwise a success changes nothing, and Redis need not know of it.
        if status.failures or status.tripped or status.paused:
            await self._apply(name, "succeeded", by=by)

    async def failed(self, name: str, *, by: str) -> None:
        """Records that the provider did not answer, or answered with an error of its own. A task counts once."""
        await self._apply(name, "failed", by=by)

    async def cool_down(self, name: str, seconds: float) -> None:
        """Stops all calls for the pause that the provider requested (429), or for as long as a pause may be."""
        pause_seconds = min(seconds, self._rules.longest_pause_seconds)
        await self._apply(name, "rate_limited", pause_seconds=pause_seconds)

    async def abandoned(self, name: str, *, by: str = "") -> None:
        """Records that the call ended without a verdict (cancelled). If it was the probe, the next caller gets it."""
        status = self._of(name).status
        if status.tripped or status.paused:
            await self._apply(name, "abandoned", by=by)

    def state(self, name: str) -> BreakerState:
        """Returns the state as far as this process knows it."""
        return self._of(name).status.state(self._clock.monotonic())

    def blocked_seconds(self, name: str) -> float:
        """Returns the seconds until the name lets a call through, as far as this process knows; 0 if it does now."""
        return max(0.0, self._of(name).status.blocked_until - self._clock.monotonic())

    def refused_seconds(self, name: str) -> float:
        """Returns how long a task should wait whose call was refused just now, in seconds.

        It is the time until the name lets a call through. If that time is over, another call is the probe, and the wait
        is a short random one.
        """
        return self.blocked_seconds(name) or self._rng.uniform(*_PROBE_WAIT_SECONDS)

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

    async def _apply(self, name: str, event: Event, *, by: str = "", pause_seconds: float = 0.0) -> bool:
        known = self._of(name)
        rules = replace(self._rules, reset_seconds=self._rules.reset_seconds * (1 + self._rng.random() * _JITTER))
        digest = _digest(by)
        reply = await self._apply_in_redis(name, event, digest, rules=rules, pause_seconds=pause_seconds)
        allowed, status = breaker_state.apply(
            known.status, event, now=self._clock.monotonic(), rules=rules, by=digest, pause_seconds=pause_seconds
        )
        if reply is not None:
            allowed, status = bool(reply[0]), self._merge(status, reply)
        known.status = status
        known.checked_at = self._clock.monotonic()
        self._record_state(name, known)
        return allowed

    async def _apply_in_redis(
        self, name: str, event: Event, digest: str, *, rules: BreakerRules, pause_seconds: float
    ) -> Sequence[int] | None:
        """Applies the event to the shared state. Returns None if Redis does not answer in time."""
        times = (
            rules.reset_seconds,
            rules.probe_seconds,
            rules.verdict_seconds,
            rules.longest_pause_seconds,
            pause_seconds,
        )
        arguments: list[str | int] = [event, digest, rules.threshold, *(round(seconds * 1000) for seconds in times)]
        return await self._script.run(keys=[KEY_PREFIX + name], args=arguments, breaker=name)

    def _merge(self, status: BreakerStatus, reply: Sequence[int]) -> BreakerStatus:
        """Replaces what this process knows by the reply. The digests, which a reply lacks, stay."""
        now = self._clock.monotonic()
        failures_until, blocked_until, probe_until = (
            now + left / 1000 if left else 0.0 for left in (reply[2], reply[3], reply[5])
        )
        return replace(
            status,
            failures=reply[1],
            failures_until=failures_until,
            failed_by=status.failed_by if reply[1] else frozenset(),
            blocked_until=blocked_until,
            tripped=bool(reply[4]),
            paused=bool(reply[6]),
            probe_until=probe_until,
        )


def _digest(by: str) -> str:
    return blake2s(by.encode(), digest_size=_DIGEST_BYTES).hexdigest() if by else ""
