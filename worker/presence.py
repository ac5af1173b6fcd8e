"""What this worker tells the world, and what it hears: presence, published agents, cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

from redis.asyncio import Redis

from app.broker.channels import CANCEL_CHANNEL, DONE_CHANNEL, PRESENCE_INTERVAL_SECONDS
from app.broker.connections import listen, redis_command
from app.broker.worker_presence import publish_presence, withdraw_presence
from app.domain.worker_state import WorkerPresence
from app.errors import BrokerUnavailable, DependencyError, StoreError
from app.ports import Clock
from app.telemetry.logs import get_logger
from worker.draining import Draining
from worker.leases import Interruption, LeaseKeeper
from worker.recent import RecentWork
from worker.vitals import Condition

PUBLISH_AGENTS_SECONDS = 60.0

_log = get_logger(__name__)


class PresenceLoop:
    """Writes presence every two seconds, with the lag of the event loop in it; publishes the agents now and then."""

    def __init__(
        self,
        redis: Redis,
        leases: LeaseKeeper,
        *,
        worker_id: str,
        name: str,
        slots: int,
        version: str,
        clock: Clock,
        breakers: Callable[[], Mapping[str, str]],
        recent: RecentWork,
        draining: Draining,
        paused: Callable[[], bool],
        condition: Callable[[], Condition],
        memory_mb: Callable[[], float],
        fetched: Callable[[], Collection[str]],
        publish_agents: Callable[[], Awaitable[None]],
    ) -> None:
        self._redis = redis
        self._leases = leases
        self._worker_id = worker_id
        self._name = name
        self._slots = slots
        self._version = version
        self._clock = clock
        self._breakers = breakers
        self._recent = recent
        self._draining = draining
        self._paused = paused
        self._condition = condition
        self._memory_mb = memory_mb
        self._fetched = fetched
        self._publish_agents = publish_agents
        self.loop_lag_ms = 0.0

    async def run(self) -> None:
        """Speaks until cancelled, also while the database is away."""
        while True:
            try:
                await publish_presence(self._redis, self.presence())
            except BrokerUnavailable as error:
                _log.warning("presence_not_announced", code=error.code)
            before = self._clock.monotonic()
            await asyncio.sleep(PRESENCE_INTERVAL_SECONDS)
            self.loop_lag_ms = max(0.0, (self._clock.monotonic() - before - PRESENCE_INTERVAL_SECONDS) * 1000)

    async def publish(self) -> None:
        """Publishes the agents now and then, until cancelled."""
        while True:
            try:
                await self._publish_agents()
            except (DependencyError, StoreError) as error:
                _log.warning("agents_not_published", code=error.code)
                await asyncio.sleep(PRESENCE_INTERVAL_SECONDS)
            else:
                await asyncio.sleep(PUBLISH_AGENTS_SECONDS)

    def presence(self) -> WorkerPresence:
        held = list(self._leases.held.values())
        begun = {claim.claim.task_id for claim in held}
        running = sorted(claim.claim.task_id for claim in held if not claim.lapsed)
        return WorkerPresence(
            worker_id=self._worker_id,
            name=self._name,
            slots=self._slots,
            running=tuple(running),
            lapsed=tuple(sorted(begun - set(running))),
            reserved=tuple(sorted(set(self._fetched()) - begun)),
            draining=self._draining.announced,
            paused=self._paused(),
            loop_lag_ms=round(self.loop_lag_ms, 1),
            version=self._version,
            at=self._clock.now(),
            breakers=dict(self._breakers()),
            recent=self._recent.figures(),
            condition=self._condition().value,
            memory_mb=round(self._memory_mb(), 1),
        )

    async def withdraw(self) -> None:
        """Says goodbye; a Redis that is away forgets us by itself."""
        try:
            await withdraw_presence(self._redis, self._worker_id)
        except BrokerUnavailable as error:
            _log.warning("presence_not_withdrawn", code=error.code)


async def listen_for_cancels(listening: Redis, leases: LeaseKeeper) -> None:
    """Interrupts runs whose cancel is announced; until cancelled. A lost announcement is found by the heartbeat."""
    async for task_id in listen(listening, CANCEL_CHANNEL):
        leases.interrupt_task(task_id, Interruption.CANCELLED)


async def announce_end(redis: Redis, task_id: str) -> None:
    """Wakes whoever waits for the task; who misses it looks by himself."""
    try:
        async with redis_command("announce a task's end"):
            await redis.publish(DONE_CHANNEL, task_id)
    except BrokerUnavailable as error:
        _log.debug("end_not_announced", code=error.code, task_id=task_id)
