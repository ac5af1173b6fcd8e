"""Waiting for a task to end: woken by the worker's word through Redis, and looking by itself in case that is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from app.domain.identity import TaskId
from app.domain.task import Task
from app.errors import StoreUnavailable
from app.ports import Clock, TaskQueue, TaskRepository
from app.services.shutdown import Closing

FIRST_LOOK_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5


class CompletionWatch:
    """One per process: `run` listens for all waiters."""

    def __init__(self, tasks: TaskRepository, queue: TaskQueue, clock: Clock, closing: Closing) -> None:
        self._tasks = tasks
        self._queue = queue
        self._clock = clock
        self._closing = closing
        self._waiters: dict[str, set[asyncio.Event]] = {}

    async def run(self) -> None:
        """Runs until cancelled."""
        async for task_id in self._queue.finished():
            for waiter in self._waiters.get(task_id, ()):
                waiter.set()

    async def wait(self, task: Task, *, seconds: float) -> Task:
        """The task once it is done, or as it stands after that many seconds or when the process is to stop.

        Raises TaskErased.
        A database that goes away meanwhile does not undo that the task was accepted.
        """
        ends_at = self._clock.monotonic() + seconds
        pause_seconds = FIRST_LOOK_SECONDS
        with self._registered(task.id) as finished:
            while not task.status.terminal:
                left_seconds = ends_at - self._clock.monotonic()
                if left_seconds <= 0 or self._closing.begun:
                    break
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(pause_seconds, left_seconds)):
                        await finished.wait()
                finished.clear()
                with contextlib.suppress(StoreUnavailable):
                    task = await self._tasks.get(task.tenant, task.id)
                pause_seconds = min(pause_seconds * 1.5, LONGEST_PAUSE_SECONDS)
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
