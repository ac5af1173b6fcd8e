"""The figures of the system for its users: queue, today's tasks, workers, health of the dependencies.

A part that is down does not fail the whole answer: the figures that it would give are None, and it is reported as down.
Figures are remembered for a few seconds, because counting loads the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.domain.identity import Tenant
from app.domain.intake import Intake
from app.domain.worker_state import WorkerPresence
from app.errors import BrokerUnavailable, StoreError, StoreUnavailable
from app.ports import Clock, QueueCounter, SystemRepository, TaskQueue, TaskStatistics
from app.services.dependency_health import DependencyHealth, HealthService, judge_providers, judge_workers
from app.services.intake_switch import IntakeSwitch
from app.services.remembered import Remembered

STATISTICS_SECONDS = 3.0
QUEUE_SECONDS = 1.0
SNAPSHOT_FRESH_SECONDS = 5.0  # a leader of an earlier version does not publish for how long its figures hold
REDIS_SECONDS = 0.5


@dataclass(frozen=True)
class QueueFigures:
    """The depth of the queue over all tenants; ages in seconds.

    `length` is the tickets in Redis plus the tasks that wait in the database. `listed` is None if Redis is unavailable.
    `runnable` of those that wait are held back by no limit; None without a leader. With `exact` False at least as many
    wait as the last full count found. `as_of` is the time of the counting: a second or two ago, up to a minute if
    counting is slow.
    """

    length: int
    waiting: int
    exact: bool
    runnable: int | None
    listed: int | None
    processing: int
    oldest_age_seconds: float
    as_of: datetime


@dataclass(frozen=True)
class SystemMetrics:
    """All figures. A figure is None if the server that would give it is unavailable."""

    intake: Intake | None
    queue: QueueFigures | None
    statistics: TaskStatistics | None
    workers: Sequence[WorkerPresence] | None
    dependencies: Mapping[str, DependencyHealth]


class SystemService:
    """The figures and the intake switch."""

    def __init__(
        self,
        system: SystemRepository,
        counts: QueueCounter,
        queue: TaskQueue,
        *,
        intake_switch: IntakeSwitch,
        health: HealthService,
        clock: Clock,
    ) -> None:
        self._counts = counts
        self._queue = queue
        self._intake_switch = intake_switch
        self._health = health
        self._clock = clock
        self._statistics: Remembered[Tenant | None, TaskStatistics] = Remembered(
            system.statistics, seconds=STATISTICS_SECONDS, clock=clock, one_at_a_time=True
        )
        self._figures: Remembered[None, QueueFigures] = Remembered(
            self._read_queue, seconds=QUEUE_SECONDS, clock=clock, one_at_a_time=True
        )

    async def metrics(self, tenant: Tenant | None) -> SystemMetrics:
        """Reads the figures. Today's counts are of the tenant, with None of all; the rest is of the whole system."""
        presences = await self._health.presences()
        servers = await self._health.servers()
        intake, queue, statistics = None, None, None
        try:
            intake = await self._intake_switch.current()
            queue = await self._figures.get(None)
            statistics = await self._statistics.get(tenant)
        except (StoreUnavailable, StoreError):
            pass  # `dependencies` reports it, and the figures read so far are still of use
        workers = {"workers": judge_workers(presences)}
        return SystemMetrics(
            intake=intake,
            queue=queue,
            statistics=statistics,
            workers=presences,
            dependencies={**servers, **workers, **judge_providers(presences)},
        )

    async def set_intake(self, intake: Intake) -> Intake:
        """Opens or pauses the intake for all processes. Raises StoreUnavailable."""
        await self._intake_switch.set(intake)
        return intake

    async def _read_queue(self, _: None) -> QueueFigures:
        """Reads the leader's snapshot while its figures hold, else counts. Raises StoreUnavailable."""
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                snapshot = await self._queue.snapshot()
                if self._holds(snapshot):
                    return _from_snapshot(snapshot)
                listed: int | None = await self._queue.length()
        except (BrokerUnavailable, TimeoutError):
            listed = None
        # Without Redis the tickets cannot be counted; the tasks marked as dispatched are the best estimate.
        counts = await self._counts.counts()
        in_redis = counts.dispatched if listed is None else listed
        return QueueFigures(
            length=in_redis + counts.waiting,
            waiting=counts.waiting,
            exact=counts.exact,
            runnable=None,
            listed=listed,
            processing=counts.in_flight.processing,
            oldest_age_seconds=counts.oldest_age_seconds,
            as_of=self._clock.now(),
        )

    def _holds(self, snapshot: Mapping[str, str]) -> bool:
        """Checks that the next snapshot is not overdue: then somebody leads, who would have counted anew."""
        at = snapshot.get("at")
        if at is None:
            return False
        now = self._clock.now()
        # Of an earlier leader, if the one of now is of an earlier version: then it is over soon.
        holds_until = snapshot.get("holds_until")
        if holds_until is not None and now < datetime.fromisoformat(holds_until):
            return True
        # `abs`: the leader's clock may be ahead of the clock of this process.
        return abs((now - datetime.fromisoformat(at)).total_seconds()) < SNAPSHOT_FRESH_SECONDS


def _from_snapshot(snapshot: Mapping[str, str]) -> QueueFigures:
    waiting, listed = int(snapshot["waiting"]), int(snapshot["listed"])
    return QueueFigures(
        length=waiting + listed,
        waiting=waiting,
        # A leader of version 0.1 counts everything, and does not publish which tasks may run.
        exact=snapshot.get("waiting_exact", "1") == "1",
        runnable=min(waiting, int(snapshot.get("runnable", waiting))),
        listed=listed,
        processing=int(snapshot["processing"]),
        oldest_age_seconds=float(snapshot["oldest_age_seconds"]),
        as_of=datetime.fromisoformat(snapshot["at"]),
    )
