"""The health of the dependencies.

MongoDB and Redis are probed directly. Providers are paid by the call, so their health is read from the workers'
breakers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.domain.worker_state import WorkerPresence
from app.errors import BrokerUnavailable, StoreError, StoreUnavailable
from app.ports import Clock, SystemRepository, TaskQueue
from app.services.remembered import Remembered

PROBE_SECONDS = 1.0
FRESH_SECONDS = 1.0


class HealthStatus(StrEnum):
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class DependencyHealth:
    """The health of one dependency. `latency_ms` is the time of the probe, None if it was not probed."""

    status: HealthStatus
    latency_ms: float | None = None
    detail: str | None = None


class HealthService:
    """The probes of the servers, remembered for a second, so that frequent requests do not load the servers."""

    def __init__(self, system: SystemRepository, queue: TaskQueue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._probes: Mapping[str, Callable[[], Awaitable[None]]] = {"mongodb": system.ping, "redis": queue.check}
        self._servers: Remembered[str, DependencyHealth] = Remembered(
            self._probe, seconds=FRESH_SECONDS, clock=clock, one_at_a_time=True
        )

    async def servers(self) -> dict[str, DependencyHealth]:
        """Probes MongoDB and Redis. Never raises."""
        return {name: await self._servers.get(name) for name in self._probes}

    async def presences(self) -> Sequence[WorkerPresence] | None:
        """Reads the presences of the living workers; None while Redis is unavailable."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return await self._queue.presences()
        except (BrokerUnavailable, TimeoutError):
            return None

    async def _probe(self, name: str) -> DependencyHealth:
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._probes[name]()
        except TimeoutError:
            return DependencyHealth(HealthStatus.DOWN, detail=f"no answer within {PROBE_SECONDS:g} s")
        except (StoreUnavailable, StoreError, BrokerUnavailable) as error:
            return DependencyHealth(HealthStatus.DOWN, detail=error.message)
        return DependencyHealth(HealthStatus.UP, latency_ms=round((self._clock.monotonic() - began) * 1000, 2))


def judge_workers(presences: Sequence[WorkerPresence] | None) -> DependencyHealth:
    """Judges the workers together: up if at least one of them takes tasks."""
    if presences is None:
        return DependencyHealth(HealthStatus.UNKNOWN, detail="Redis does not answer")
    working = [presence for presence in presences if not presence.draining]
    if not working:
        return DependencyHealth(HealthStatus.DOWN, detail="no worker has published its presence in the last seconds")
    return DependencyHealth(HealthStatus.UP, detail=f"{len(working)} taking tasks")


def judge_providers(presences: Sequence[WorkerPresence] | None) -> dict[str, DependencyHealth]:
    """Judges each breaker that any worker has used; the worst state counts. Closed is up, open is down."""
    # From best to worst. A worker of a newer version may publish states that are not listed here; they are ignored.
    rank = {"closed": HealthStatus.UP, "half_open": HealthStatus.DEGRADED, "open": HealthStatus.DOWN}
    severity = list(rank)
    worst: dict[str, str] = {}
    for presence in presences or ():
        for name, state in presence.breakers.items():
            if state in rank and severity.index(state) >= severity.index(worst.get(name, "closed")):
                worst[name] = state
    return {
        name: DependencyHealth(rank[state], detail=f"circuit breaker {state}") for name, state in sorted(worst.items())
    }
