"""Projects the tasks that this worker has just written, in batches; what it misses, the leader's sweep finds.

Projections are for later readers: while the worker is busy they wait, but not longer than `PATIENCE_SECONDS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.domain.identity import TaskId
from app.ports import Clock, Projections
from app.telemetry.logs import get_logger, origin

BATCH = 100
PAUSE_SECONDS = 1.0
PATIENCE_SECONDS = 10.0

_log = get_logger(__name__)


class Projector:
    """Collects task ids and projects them about once a second."""

    def __init__(self, projections: Projections, *, busy: Callable[[], bool], clock: Clock) -> None:
        self._projections = projections
        self._busy = busy
        self._clock = clock
        self._flushed_at = clock.monotonic()
        self._waiting: dict[TaskId, None] = {}

    def add(self, task_id: TaskId) -> None:
        self._waiting[task_id] = None

    async def run(self) -> None:
        """Projects until cancelled."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            if not self._busy() or self._clock.monotonic() - self._flushed_at >= PATIENCE_SECONDS:
                await self.flush()

    async def flush(self) -> None:
        """Projects what waits now; what fails is left to the sweep."""
        self._flushed_at = self._clock.monotonic()
        while self._waiting:
            batch = list(self._waiting)[:BATCH]
            for task_id in batch:
                del self._waiting[task_id]
            try:
                await self._projections.project(batch)
            except asyncio.CancelledError:
                self._waiting.update(dict.fromkeys(batch))  # whoever ends the worker flushes once more
                raise
            except Exception as error:  # noqa: BLE001  # a batch that fails must not keep a worker from stopping
                _log.warning(
                    "projection_failed", error_class=type(error).__name__, where=origin(error), tasks=len(batch)
                )
                return
