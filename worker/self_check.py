"""The checks that a worker makes of itself: whether it fetches tickets that wait, and how large it has grown."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Collection

import psutil
from redis.asyncio import Redis

from app.broker.connections import check_writes, redis_command
from app.domain.identity import TaskId
from app.errors import BrokerUnavailable
from app.telemetry.logs import get_logger
from worker.consumption import Consumption
from worker.draining import Draining
from worker.store_watch import StoreWatch
from worker.vitals import Condition, Signs, Vitals, judge

CHECK_SECONDS = 2.0

_log = get_logger(__name__)


class SelfCheck:
    """The check of queue and memory, made every two seconds. `fetched` returns the tasks of all tickets in hand."""

    def __init__(
        self,
        tickets_redis: Redis,
        vitals: Vitals,
        *,
        consumption: Consumption,
        draining: Draining,
        store_watch: StoreWatch,
        fetched: Callable[[], Collection[TaskId]],
        queue: str,
        max_memory_mb: int | None,
    ) -> None:
        self._tickets_redis = tickets_redis
        self._vitals = vitals
        self._consumption = consumption
        self._draining = draining
        self._store_watch = store_watch
        self._fetched = fetched
        self._queue = queue
        self._max_memory_mb = max_memory_mb
        self._process = psutil.Process()

    def signs(self) -> Signs:
        return self._vitals.signs(store_away=self._store_watch.unavailable)

    def condition(self) -> Condition:
        return judge(self.signs())

    def memory_mb(self) -> float:
        return float(self._process.memory_info().rss) / 2**20

    async def run(self) -> None:
        """Checks until cancelled; begins when Celery has a consumer, because nothing is fetched before."""
        await self._consumption.attached.wait()
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self._check_queue()
            self._check_memory()

    async def _check_queue(self) -> None:
        try:
            # A hub whose connection was lost cannot declare its queue again on a Redis that refuses writes.
            await check_writes(self._tickets_redis)
            async with redis_command("read the queue's length"):
                listed = int(await self._tickets_redis.execute_command("LLEN", self._queue))
        except BrokerUnavailable:
            self._vitals.excuse_hub()
            return
        working = bool(self._fetched()) or self._draining.reported or self._consumption.paused
        self._vitals.record_queue(listed=listed, working=working)

    def _check_memory(self) -> None:
        limit_mb = self._max_memory_mb
        if limit_mb is None or self.memory_mb() <= limit_mb or self._draining.reported:
            return
        _log.error("memory_limit_reached", memory_mb=round(self.memory_mb(), 1), limit_mb=limit_mb)
        # The same way out as for a stop from outside: Celery's handler, the grace, and then the hand-back.
        signal.raise_signal(signal.SIGTERM)
