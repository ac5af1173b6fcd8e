"""The number of tasks that all API processes together have accepted; the autoscaler's arrival rate is made of it.

Each process adds its own count to Redis twice a second. The count is an estimate: if Redis loses it, it
starts again at zero.
"""

from __future__ import annotations

import asyncio

from app.errors import BrokerUnavailable
from app.ports import TaskQueue
from app.telemetry.logs import get_logger

PUBLISH_SECONDS = 0.5

_log = get_logger(__name__)


class Arrivals:
    """The tasks that this process accepted and has not yet added to the count in Redis."""

    def __init__(self, queue: TaskQueue) -> None:
        self._queue = queue
        self._unpublished = 0

    def record_accepted(self) -> None:
        """Records one accepted task, without I/O: it is on the path of every submission."""
        self._unpublished += 1

    async def run(self) -> None:
        """Publishes twice a second until it is cancelled."""
        while True:
            await asyncio.sleep(PUBLISH_SECONDS)
            await self.publish()

    async def publish(self) -> None:
        """Adds the unpublished tasks to the count; those that Redis does not take now are added the next time."""
        number = self._unpublished
        if not number:
            return
        try:
            await self._queue.add_arrivals(number)
        except BrokerUnavailable as error:
            _log.info("arrivals_not_published", error_code=error.code)
            return
        # Subtracted and not set to zero: tasks were accepted while Redis answered.
        self._unpublished -= number
