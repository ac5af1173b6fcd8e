"""The publications of this worker: its presence, its agents, and the ends of its tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from redis.asyncio import Redis

from app.broker.channels import DONE_CHANNEL, PRESENCE_INTERVAL_SECONDS
from app.broker.connections import redis_command
from app.broker.worker_presence import publish_presence, withdraw_presence
from app.domain.agent import AgentCard
from app.domain.identity import TaskId
from app.domain.worker_state import WorkerPresence
from app.errors import BrokerUnavailable, DependencyError, StoreError
from app.ports import AgentDirectory, Clock
from app.telemetry.logs import get_logger
from worker.consumption import Consumption
from worker.draining import Draining
from worker.leases import LeaseKeeper
from worker.recent import RecentWork
from worker.vitals import Condition

PUBLISH_AGENTS_SECONDS = 60.0

_log = get_logger(__name__)


@dataclass(frozen=True)
class SelfReport:
    """The facts that this worker reports of itself: fixed ones, and the parts that know those which change.

    `fetched` returns the tasks of all tickets in hand.
    """

    worker_id: str
    name: str
    slots: int
    version: str
    leases: LeaseKeeper
    draining: Draining
    consumption: Consumption
    recent: RecentWork
    fetched: Callable[[], Collection[TaskId]]
    breakers: Callable[[], Mapping[str, str]]
    condition: Callable[[], Condition]
    memory_mb: Callable[[], float]

    def build_presence(self, *, at: datetime, loop_lag_ms: float) -> WorkerPresence:
        held = list(self.leases.held.values())
        begun = {claim.claim.task_id for claim in held}
        running = sorted(claim.claim.task_id for claim in held if not claim.lapsed)
        return WorkerPresence(
            worker_id=self.worker_id,
            name=self.name,
            slots=self.slots,
            running=tuple(running),
            lapsed=tuple(sorted(begun - set(running))),
            # A ticket stays in hand until its run has ended: only those without a claim still wait for a slot.
            reserved=tuple(sorted(set(self.fetched()) - begun)),
            draining=self.draining.reported,
            paused=self.consumption.paused,
            loop_lag_ms=round(loop_lag_ms, 1),
            version=self.version,
            at=at,
            breakers=dict(self.breakers()),
            recent=self.recent.figures(),
            condition=self.condition().value,
            memory_mb=round(self.memory_mb(), 1),
        )


class PresenceLoop:
    """The presence of this worker, published every two seconds with the lag of the event loop in it."""

    def __init__(self, redis: Redis, report: SelfReport, *, clock: Clock) -> None:
        self._redis = redis
        self._report = report
        self._clock = clock
        self._loop_lag_ms = 0.0

    async def run(self) -> None:
        """Publishes until cancelled, also while the database is unavailable."""
        while True:
            presence = self._report.build_presence(at=self._clock.now(), loop_lag_ms=self._loop_lag_ms)
            try:
                await publish_presence(self._redis, presence)
            except BrokerUnavailable as error:
                _log.warning("presence_not_published", error_code=error.code)
            before = self._clock.monotonic()
            await asyncio.sleep(PRESENCE_INTERVAL_SECONDS)
            # By how much the sleep was longer than asked for, others have kept the loop busy.
            self._loop_lag_ms = max(0.0, (self._clock.monotonic() - before - PRESENCE_INTERVAL_SECONDS) * 1000)

    async def withdraw(self) -> None:
        """Removes the presence; if Redis is unavailable, it expires there by itself."""
        try:
            await withdraw_presence(self._redis, self._report.worker_id)
        except BrokerUnavailable as error:
            _log.warning("presence_not_withdrawn", error_code=error.code)


class AgentPublisher:
    """The agents of this worker in the database. `published` is set as soon as they are there."""

    def __init__(self, directory: AgentDirectory, cards: Sequence[AgentCard]) -> None:
        self.published = asyncio.Event()
        self._directory = directory
        self._cards = cards

    async def run(self) -> None:
        """Publishes once a minute, until cancelled; if the database does not answer, tries again in two seconds."""
        while True:
            try:
                await self._directory.publish(self._cards)
            except (DependencyError, StoreError) as error:
                _log.warning("agents_not_published", error_code=error.code)
                await asyncio.sleep(PRESENCE_INTERVAL_SECONDS)
            else:
                self.published.set()
                # During a rolling update two versions of an agent publish in turn; the one that remains publishes last.
                await asyncio.sleep(PUBLISH_AGENTS_SECONDS)


class EndPublisher:
    """The publications of tasks' ends, each in an asyncio task of its own: no run waits for Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        # The event loop keeps only weak references to its tasks: without this set they could be collected half-way.
        self._publishing: set[asyncio.Task[None]] = set()

    def publish(self, task_id: TaskId) -> None:
        publishing = asyncio.create_task(publish_end(self._redis, task_id))
        self._publishing.add(publishing)
        publishing.add_done_callback(self._publishing.discard)

    async def close(self) -> None:
        """Cancels the publications under way and waits until they have ended."""
        under_way = list(self._publishing)
        for publishing in under_way:
            publishing.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def publish_end(redis: Redis, task_id: str) -> None:
    """Wakes the API processes that wait for the task. One that misses the message reads the task by itself."""
    try:
        async with redis_command("publish the end of a task"):
            await redis.publish(DONE_CHANNEL, task_id)
    except BrokerUnavailable as error:
        _log.debug("end_not_published", error_code=error.code, task_id=task_id)
