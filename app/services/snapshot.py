"""The queue snapshot: one Redis hash a second with the depth of the queue and the speed at which it moves.

The queue length is the tickets in the list plus the tasks that wait in MongoDB. Times are in seconds. Counting loads
the database, so a round that took long is followed by a pause ten times as long, as far as the figures stay fresh
meanwhile, and counting ends at a limit. If every count takes so long that no pause keeps the figures fresh, the load
counts more than their age: the pauses are ten times as long again, half a minute at most. While more tasks wait than a
count reaches, a duty of its own counts all of them from time to time, and its last figures are published.

Each snapshot names the time until which its figures hold, when the next one has come. A reader that did not trust it
so long would count for itself, and so make a slow database slower.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from app.domain.identity import Tenant
from app.domain.worker_state import WorkerPresence
from app.ports import Clock, QueueCounter, QueueCounts, TaskQueue
from app.services.policies import TenantPolicies
from app.services.runnable import runnable
from app.telemetry.metrics import LeaderMetrics

TICK_SECONDS = 1.0
COUNTING_SHARE = 10.0
LONGEST_PERIOD_SECONDS = 8.0  # the autoscaler holds if figures are older than `Policy.stale_seconds`, ten by default
LONGEST_PAUSE_SECONDS = 30.0  # with the count after it less than `SNAPSHOT_TTL_SECONDS`, or there would be no snapshot
RATE_WINDOW_SECONDS = 60.0
MARGIN_SECONDS = 4.0  # the next snapshot may be late by so much, and the clocks of two servers may differ

Number = TypeVar("Number", int, float)


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
        policies: TenantPolicies,
        clock: Clock,
        metrics: LeaderMetrics,
    ) -> None:
        self._tasks = tasks
        self._queue = queue
        self._policies = policies
        self._expected_service_seconds = expected_service_seconds
        self._clock = clock
        self._metrics = metrics
        self._arrivals: deque[_Arrival] = deque()
        self._counting_seconds = 0.0
        self._deep = False
        self._full_counts: QueueCounts | None = None

    async def publish(self) -> float:
        """Publishes one snapshot and returns the seconds to wait before the next one. Raises DependencyError."""
        began = self._clock.monotonic()
        presences = await self._queue.presences()
        # A paused worker fetches nothing, so its slots would make the autoscaler believe in capacity it lacks.
        slots = sum(presence.slots for presence in presences if not presence.paused)
        counts = await self._tasks.counts()
        counting_seconds = self._clock.monotonic() - began
        listed = await self._queue.length()
        arrival_rate = self._arrival_rate(await self._queue.arrivals())
        counts = self._completed(counts)
        may_run = runnable(counts, self._policies.of, slots=slots)
        snapshot = {
            "waiting": counts.waiting,
            "waiting_exact": int(counts.exact),
            "processing": counts.in_flight.processing,
            "oldest_age_seconds": round(counts.oldest_age_seconds, 3),
            "listed": listed,
            "slots": slots,
            "runnable": may_run.number,
            "oldest_runnable_age_seconds": round(may_run.oldest_age_seconds, 3),
            "arrival_rate": round(arrival_rate, 4),
            **self._speed(presences),
            "drift": self._drift(counts, listed, presences),
            "at": self._clock.now().isoformat(),
        }
        pause_seconds = self._pause_seconds(counting_seconds)
        # The next counting may take as long as this one.
        holds_until = self._clock.now() + timedelta(seconds=pause_seconds + counting_seconds + MARGIN_SECONDS)
        await self._queue.publish_snapshot({**snapshot, "holds_until": holds_until.isoformat()})
        return pause_seconds

    def _pause_seconds(self, counting_seconds: float) -> float:
        # The shorter of two: a single slow one was held up, by a failover for example.
        usual_seconds = min(self._counting_seconds, counting_seconds)
        self._counting_seconds = counting_seconds
        if usual_seconds >= LONGEST_PERIOD_SECONDS / 2:
            return min(usual_seconds * COUNTING_SHARE, LONGEST_PAUSE_SECONDS)
        return max(TICK_SECONDS, min(counting_seconds * COUNTING_SHARE, LONGEST_PERIOD_SECONDS - counting_seconds))

    async def count_all(self) -> float:
        """Counts everything if the last round did not reach the end, and returns the seconds to wait.

        Raises DependencyError.
        """
        if not self._deep:
            return TICK_SECONDS
        began = self._clock.monotonic()
        self._full_counts = await self._tasks.count_all()
        return max(TICK_SECONDS, (self._clock.monotonic() - began) * COUNTING_SHARE)

    def _completed(self, counts: QueueCounts) -> QueueCounts:
        """Completes counts that did not reach the end by the last full count.

        The larger figure of each tenant counts, because either may have missed what the other found.
        """
        self._deep = not counts.exact
        if counts.exact:
            self._full_counts = None
        if self._full_counts is None:
            return counts
        full = self._full_counts
        return replace(
            counts,
            by_tenant=_larger(full.by_tenant, counts.by_tenant),
            oldest_by_tenant=_larger(full.oldest_by_tenant, counts.oldest_by_tenant),
            quarantined=max(full.quarantined, counts.quarantined),
            oldest_age_seconds=max(full.oldest_age_seconds, counts.oldest_age_seconds),
        )

    def _drift(self, counts: QueueCounts, listed: int, presences: Sequence[WorkerPresence]) -> int:
        # MongoDB and Redis count the same tasks. A drift that stays above zero is lost tickets or lost runs.
        in_workers = sum(len(presence.running) + len(presence.reserved) for presence in presences)
        drift = counts.in_flight.total - listed - in_workers
        self._metrics.truth_drift.set(drift)
        return drift

    def _speed(self, presences: Sequence[WorkerPresence]) -> dict[str, str | int | float]:
        services = sorted(seconds for presence in presences for seconds in presence.recent.service_seconds)
        calls = sum(presence.recent.model_calls for presence in presences)
        rate_limited = sum(presence.recent.rate_limited_calls for presence in presences)
        open_breakers = sorted(
            {name for presence in presences for name, state in presence.breakers.items() if state != "closed"}
        )
        return {
            "in_flight": sum(len(presence.running) + len(presence.reserved) for presence in presences),
            "mean_service_seconds": round(self._mean(services), 3),
            "p95_service_seconds": round(self._p95(services), 3),
            "model_calls": calls,
            "rate_limited_share": round(rate_limited / calls, 4) if calls else 0.0,
            "workers": len(presences),
            "open_breakers": ",".join(open_breakers),
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


def _larger(first: Mapping[Tenant, Number], second: Mapping[Tenant, Number]) -> dict[Tenant, Number]:
    """Returns the larger of both figures of each tenant."""
    return {
        tenant: max(figures[tenant] for figures in (first, second) if tenant in figures)
        for tenant in first.keys() | second.keys()
    }
