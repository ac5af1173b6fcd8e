"""Waiting for the end of a task.

A worker publishes each end through Redis, which wakes the waiting requests at once. Redis may lose such a message, so
every waiter also reads the task's status, at most twice a second, and the whole task once at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from app.domain.identity import TaskId
from app.domain.task import Task
from app.errors import StoreUnavailable
from app.ports import Clock, TaskQueue, TaskRepository
from app.services.shutdown import Shutdown

FIRST_READ_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5


class CompletionWatch:
    """The waiting requests of this process. `run` listens for all of them."""

    def __init__(self, tasks: TaskRepository, queue: TaskQueue, clock: Clock, shutdown: Shutdown) -> None:
        self._tasks = tasks
        self._queue = queue
        self._clock = clock
        self._shutdown = shutdown
        self._waiters: dict[str, set[asyncio.Event]] = {}

    async def run(self) -> None:
        """Wakes the waiters of every task that ends, until it is cancelled."""
        async for task_id in self._queue.finished():
            for waiter in self._waiters.get(task_id, ()):
                waiter.set()

    async def wait(self, task: Task, *, seconds: float) -> Task:
        """Returns the task once it has ended, or in its last known state after `seconds` or when the process stops.

        Raises TaskErased, TaskNotFound if the task was removed meanwhile, TaskUnreadable, StoreError. Ignores an outage
        of the database: the task is accepted whether it can be read or not.
        """
        ends_at = self._clock.monotonic() + seconds
        pause_seconds = FIRST_READ_SECONDS
        readable = True
        with self._registered(task.id) as finished:
            while not task.status.terminal:
                left_seconds = ends_at - self._clock.monotonic()
                if left_seconds <= 0 or self._shutdown.begun:
                    # In an outage another reading would only make the answer late.
                    return await self._last_state(task) if readable else task
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(pause_seconds, left_seconds)):
                        await finished.wait()
                # Cleared before the reading: a message that arrives during it must cause another one.
                finished.clear()
                readable = False
                with contextlib.suppress(StoreUnavailable):
                    if await self._tasks.has_ended(task.tenant, task.id):
                        task = await self._tasks.get(task.tenant, task.id)
                    readable = True
                pause_seconds = min(pause_seconds * 1.5, LONGEST_PAUSE_SECONDS)
        return task

    async def _last_state(self, task: Task) -> Task:
        with contextlib.suppress(StoreUnavailable):
            return await self._tasks.get(task.tenant, task.id)
        return task

    @contextlib.contextmanager
    def _registered(self, task_id: TaskId) -> Iterator[asyncio.Event]:
        waiter = asyncio.Event()
        waiters = self._waiters.setdefault(task_id, set())
        waiters.add(waiter)
        try:
            yield waiter
        finally:
            waiters.discard(waiter)
            if not waiters:
                self._waiters.pop(task_id, None)
