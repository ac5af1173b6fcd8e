"""The ticket window: Redis holds about as many tickets as living workers have slots; the rest waits in MongoDB.

So priorities and fairness are decided in one place, and losing Redis loses at most a window of tickets, which are found
missing and sent again. `TicketWindow` remembers what it knows of workers for a second, so that an accept costs no look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.domain.identity import Tenant
from app.domain.task import Task
from app.errors import BrokerUnavailable
from app.ports import Clock, TaskQueue, Ticket, WaitingTask
from app.telemetry.logs import get_logger

SMALLEST_WINDOW = 4
FRESH_SECONDS = 1.0
PUBLISH_SECONDS = 0.25

_log = get_logger(__name__)


class TicketWindow:
    """How many tickets may be sent now, and the sending. One per process; its counts are estimates."""

    def __init__(self, queue: TaskQueue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._room = 0
        self._looked_at = float("-inf")
        self._skip_until = float("-inf")
        self.backlog = False

    async def room(self) -> int:
        """Tickets that may still be sent: free slots of workers, less what already stands in the list.

        Raises BrokerUnavailable: a Redis that does not answer has no room.
        """
        if self._clock.monotonic() - self._looked_at >= FRESH_SECONDS or self._room <= 0:
            await self.look()
        return self._room

    async def look(self) -> int:
        """Asks Redis anew."""
        listed = await self._queue.length()
        presences = await self._queue.presences()
        free = sum(p.slots - len(p.running) - len(p.reserved) for p in presences if not p.draining)
        self._room = max(SMALLEST_WINDOW, free) - listed
        self._looked_at = self._clock.monotonic()
        return self._room

    async def should_dispatch_inline(self, tenant: Tenant, due: bool) -> bool:
        """Whether a task may be sent to the queue as it is accepted: it is due, nobody waits, there is room."""
        del tenant
        if not due or self.backlog or self._clock.monotonic() < self._skip_until:
            return False
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                return await self.room() > 0
        except (BrokerUnavailable, TimeoutError):
            self._skip_until = self._clock.monotonic() + FRESH_SECONDS
            return False

    async def after_insert(self, task: Task, dispatched: bool) -> None:
        """Sends the ticket, or wakes the leader. Never raises: the stored task is found again either way."""
        if self._clock.monotonic() < self._skip_until:
            return
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                if dispatched:
                    self._room -= 1
                    await self._queue.publish([_ticket_of(task)])
                else:
                    await self._queue.kick()
        except (BrokerUnavailable, TimeoutError):
            self._skip_until = self._clock.monotonic() + FRESH_SECONDS
            _log.warning("ticket_not_sent", task_id=task.id)

    async def send(self, tasks: Sequence[WaitingTask]) -> None:
        """Sends a ticket for each. Raises BrokerUnavailable."""
        self._room -= len(tasks)
        await self._queue.publish([ticket_for(task) for task in tasks])


def ticket_for(task: WaitingTask) -> Ticket:
    """The next ticket of a waiting task."""
    return Ticket(
        task_id=task.task_id,
        dispatch_seq=task.dispatch_seq + 1,
        request_id=task.request_id,
        traceparent=task.traceparent,
    )


def _ticket_of(task: Task) -> Ticket:
    return Ticket(
        task_id=task.id, dispatch_seq=task.dispatch_seq, request_id=task.request_id, traceparent=task.traceparent
    )
