"""The dispatcher: releases waiting tasks into the ticket window, and sends lost tickets again.

Runs in the leading API process. A ticket is lost when its task was dispatched a while ago, is still queued and due, and
stands neither in the list nor with any worker. An error from Redis is not an empty answer: then nothing is decided.
"""

from __future__ import annotations

from collections import deque

from app.ports import Clock, DispatchRepository, TaskQueue, WaitingTask
from app.services.window import TicketWindow, ticket_for
from app.telemetry.logs import get_logger

BUFFER_TASKS = 500
BUFFER_SECONDS = 1.0
LOST_AFTER_SECONDS = 5.0
REPAIR_BATCH = 500

_log = get_logger(__name__)


class Dispatcher:
    """Keeps a short list of waiting tasks, so that a deep backlog is not sorted at every tick."""

    def __init__(self, tasks: DispatchRepository, queue: TaskQueue, window: TicketWindow, clock: Clock) -> None:
        self._tasks = tasks
        self._queue = queue
        self._window = window
        self._clock = clock
        self._buffer: deque[WaitingTask] = deque()
        self._filled_at = float("-inf")
        self._deep = False

    async def dispatch(self) -> bool:
        """Releases what fits the window; True when something still waits. Raises DependencyError."""
        if not self._buffer or self._clock.monotonic() - self._filled_at >= BUFFER_SECONDS:
            self._buffer = deque(await self._tasks.find_waiting(BUFFER_TASKS))
            self._filled_at = self._clock.monotonic()
            self._deep = len(self._buffer) == BUFFER_TASKS
        self._window.backlog = bool(self._buffer)
        if not self._buffer:
            return False
        room = await self._window.look()
        if room > 0:
            chosen = [self._buffer.popleft() for _ in range(min(room, len(self._buffer)))]
            await self._window.send(await self._tasks.release(chosen))
        return bool(self._buffer) or self._deep

    def step_down(self) -> None:
        """Forgets what waits: another process dispatches now."""
        self._buffer.clear()
        self._filled_at = float("-inf")
        self._window.backlog = None

    async def repair(self) -> int:
        """Sends lost tickets again; gives their number. Raises StoreUnavailable, BrokerUnavailable."""
        sent = await self._tasks.find_dispatched_before(LOST_AFTER_SECONDS, REPAIR_BATCH)
        if not sent:
            return 0
        held = set(await self._queue.listed())
        for presence in await self._queue.presences():
            held.update(presence.running, presence.reserved)
        lost = [task for task in sent if task.task_id not in held and await self._tasks.redispatch(task)]
        if lost:
            await self._queue.publish([ticket_for(task) for task in lost])
            _log.warning("lost_tickets_sent_again", count=len(lost))
        return len(lost)
