"""The expiry of AgentTasks: deletes finished ones when their time to live is over.

It remembers only the deletions of the near future; the survey finds the others before they are due.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from agent_operator.agenttasks.objects import AgentTasks
from agent_operator.health.pulse import Pulse
from agent_operator.kube.cluster import ClusterError, HasChanged, NotThere
from app.ports import Clock
from app.telemetry.logs import get_logger
from app.telemetry.metrics import AgentTaskMetrics

TICK_SECONDS = 1.0
RETRY = timedelta(seconds=10)

_log = get_logger(__name__)


class Expiry:
    """The deletions that are due within the `horizon`, in order."""

    def __init__(
        self, objects: AgentTasks, clock: Clock, metrics: AgentTaskMetrics, pulse: Pulse, *, horizon: timedelta
    ) -> None:
        self._objects = objects
        self._clock = clock
        self._metrics = metrics
        self._pulse = pulse
        self._horizon = horizon
        self._due: list[tuple[datetime, str, str, str]] = []
        self._planned: set[str] = set()

    def plan(self, namespace: str, name: str, uid: str, status: Mapping[str, Any], ttl_seconds: int) -> None:
        """Plans the deletion of a finished object `ttl_seconds` after its completion, if that is within the horizon.

        A negative time keeps the object.
        """
        ended = status.get("completionTime")
        if ended is None or ttl_seconds < 0 or uid in self._planned:
            return
        due = datetime.fromisoformat(ended) + timedelta(seconds=ttl_seconds)
        if due <= self._clock.now() + self._horizon:
            self._planned.add(uid)
            heapq.heappush(self._due, (due, uid, namespace, name))

    async def run(self) -> None:
        """Deletes objects as they become due, until it is cancelled."""
        while True:
            self._pulse.beat("expiry")
            if not await self.delete_next():
                await asyncio.sleep(TICK_SECONDS)

    async def delete_next(self) -> bool:
        """Deletes one object that is due. Returns False if there is none."""
        if not self._due or self._due[0][0] > self._clock.now():
            return False
        _, *found = heapq.heappop(self._due)
        await self._delete(*found)
        return True

    async def _delete(self, uid: str, namespace: str, name: str) -> None:
        try:
            await self._objects.delete(namespace, name, uid)
        except (NotThere, HasChanged):
            pass  # a user or another operator has deleted it
        except ClusterError as error:
            _log.warning("expired_object_not_deleted", reason=error.reason, uid=uid)
            heapq.heappush(self._due, (self._clock.now() + RETRY, uid, namespace, name))
            return
        else:
            self._metrics.operator_expired.inc()
        self._planned.discard(uid)
