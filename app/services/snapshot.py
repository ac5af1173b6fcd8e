"""The queue snapshot: one Redis hash a second with the true depth of the queue and the speed at which it moves.

The queue length is the tickets in the list plus the tasks that wait in MongoDB. Times are in seconds. Counting loads
the database, so a round that took long is followed by a pause ten times as long.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.worker_state import WorkerPresence
from app.ports import Clock, QueueCounter, QueueCounts, TaskQueue
from app.telemetry.metrics import LeaderMetrics

TICK_SECONDS = 1.0
COUNTING_SHARE = 10.0
RATE_WINDOW_SECONDS = 60.0


@dataclass(frozen=True)
class _Arrival:
    at: float
    number: int


class SnapshotPublisher:
    """The snapshots of this process while it leads.

    `expected_service_seconds` is published as the service time while no worker has finished a task recently.
    """

    def __init__(
        self,
        tasks: QueueCounter,
        queue: TaskQueue,
        *,
        expected_service_seconds: float,
        clock: Clock,
        metrics: LeaderMetrics,
    ) -> None:
        self._tasks = tasks
        self._queue = queue
        self._expected_service_seconds = expected_service_seconds
        self._clock = clock
        self._metrics = metrics
        self._arrivals: deque[_Arrival] = deque()

    async def publish(self) -> float:
        """Publishes one snapshot and returns the seconds to wait before the next one. Raises DependencyError."""
        began = self._clock.monotonic()
        counts = await self._tasks.counts()
        counting_seconds = self._clock.monotonic() - began
        listed = await self._queue.length()
        presences = await self._queue.presences()
        arrival_rate = self._arrival_rate(await self._queue.arrivals())
        await self._queue.publish_snapshot(self._compose(counts, listed, presences, arrival_rate))
        return max(TICK_SECONDS, counting_seconds * COUNTING_SHARE)

    def _compose(
        self, counts: QueueCounts, listed: int, presences: Sequence[WorkerPresence], arrival_rate: float
    ) -> dict[str, str | int | float]:
        in_flight = sum(len(presence.running) + len(presence.reserved) for presence in presences)
        # MongoDB and Redis count the same tasks. A drift that stays above zero is lost tickets or lost runs.
        drift = counts.dispatched + counts.processing - listed - in_flight
        self._metrics.truth_drift.set(drift)
        services = sorted(seconds for presence in presences for seconds in presence.recent.service_seconds)
        calls = sum(presence.recent.model_calls for presence in presences)
        rate_limited = sum(presence.recent.rate_limited_calls for presence in presences)
        open_breakers = sorted(
            {name for presence in presences for name, state in presence.breakers.items() if state != "closed"}
        )
        return {
            "waiting": counts.waiting,
            "listed": listed,
            "in_flight": in_flight,
            "processing": counts.processing,
            "oldest_age_seconds": round(counts.oldest_age_seconds, 3),
            "arrival_rate": round(arrival_rate, 4),
            "mean_service_seconds": round(self._mean(services), 3),
            "p95_service_seconds": round(self._p95(services), 3),
            "model_calls": calls,
            "rate_limited_share": round(rate_limited / calls, 4) if calls else 0.0,
            "workers": len(presences),
            # A paused worker fetches nothing, so its slots would make the autoscaler believe in capacity it lacks.
            "slots": sum(presence.slots for presence in presences if not presence.paused),
            "open_breakers": ",".join(open_breakers),
            "drift": drift,
            "at": self._clock.now().isoformat(),
        }

    def _mean(self, services: Sequence[float]) -> float:
        return sum(services) / len(services) if services else self._expected_service_seconds

    def _p95(self, services: Sequence[float]) -> float:
        """Computes the 95th percentile of the ascending `services`."""
        return services[math.ceil(0.95 * len(services)) - 1] if services else self._expected_service_seconds

    def _arrival_rate(self, number: int) -> float:
        """Computes the arrivals per second over the last minute; `number` counts all arrivals so far."""
        now = self._clock.monotonic()
        if self._arrivals and number < self._arrivals[-1].number:
            self._arrivals.clear()  # Redis has lost the count: the rate must not become negative
        self._arrivals.append(_Arrival(at=now, number=number))
        # Two samples stay however old they are: without them there would be no rate after a long pause.
        while len(self._arrivals) > 2 and now - self._arrivals[0].at > RATE_WINDOW_SECONDS:
            self._arrivals.popleft()
        first, last = self._arrivals[0], self._arrivals[-1]
        elapsed = last.at - first.at
        return (last.number - first.number) / elapsed if elapsed > 0 else 0.0
