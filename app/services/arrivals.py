"""How many tasks all API processes together have accepted. The autoscaler's arrival rate is made of it.

Each process tells Redis of its own now and then. The count is a measure and not the truth: where Redis loses it, it
begins anew.
"""

from __future__ import annotations

import asyncio

from app.errors import BrokerUnavailable
from app.ports import TaskQueue
from app.telemetry.logs import get_logger

TELL_SECONDS = 0.5

_log = get_logger(__name__)


class Arrivals:
    """Those that this process accepted and has not told yet."""

    def __init__(self, queue: TaskQueue) -> None:
        self._queue = queue
        self._untold = 0

    def task_accepted(self) -> None:
        self._untold += 1

    async def run(self) -> None:
        """Tells until cancelled."""
        while True:
            await asyncio.sleep(TELL_SECONDS)
            await self.tell()

    async def tell(self) -> None:
        """What Redis does not take now is told the next time."""
        number = self._untold
        if not number:
            return
        try:
            await self._queue.add_arrivals(number)
        except BrokerUnavailable as error:
            _log.info("arrivals_not_told", code=error.code)
            return
        self._untold -= number
