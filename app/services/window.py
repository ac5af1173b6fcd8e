"""The ticket window: Redis holds about as many tickets as living workers have slots; the rest waits in MongoDB.

So priorities and fairness are decided in one place. A Redis that loses its data loses at most one window of tickets,
which the dispatcher finds missing and sends again. `TicketWindow` remembers for a second how much room there is, so
that accepting a task needs no reading. Tickets of accepted tasks are sent in the background, all that have gathered in
one batch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import Context
from typing import Protocol

from app.domain.identity import TaskId, Tenant
from app.domain.task import Task
from app.domain.ticket import Ticket
from app.errors import BrokerUnavailable, DependencyError, StoreError
from app.ports import Clock, TaskQueue, WaitingTask
from app.telemetry.logs import get_logger

SMALLEST_WINDOW = 4
FRESH_SECONDS = 1.0
PUBLISH_SECONDS = 0.25  # the most that an outage of Redis delays one accept; after it Redis is left alone for a second
LARGEST_BATCH = 50

_log = get_logger(__name__)


class TakingBack(Protocol):
    """The part of `app.ports.DispatchRepository` that the window needs."""

    async def take_back(self, task_ids: Sequence[TaskId]) -> None: ...


class TicketWindow:
    """The number of tickets that may be sent now, and the sending. One per process; its counts are estimates.

    `backlog` is whether tasks wait, as the dispatcher of this process knows. It is None if another process leads; the
    leader's snapshot is read in that case. `slots` are those of all workers that fetch tickets, as last read.
    """

    def __init__(self, queue: TaskQueue, tasks: TakingBack, clock: Clock) -> None:
        self._queue = queue
        self._tasks = tasks
        self._clock = clock
        self._room = 0
        self._read_at = float("-inf")
        self._skip_until = float("-inf")
        self._unsent: deque[Ticket] = deque()
        self._under_way = 0
        self._kicks: dict[Tenant, None] = {}
        self._sending: asyncio.Task[None] | None = None
        self._leader_has_backlog = False
        self.backlog: bool | None = None
        self.slots = 0

    async def room(self) -> int:
        """Returns how many tickets may still be sent: the workers' free slots, less the tickets in the list.

        Raises BrokerUnavailable: a Redis that does not answer has no room.
        """
        if self._clock.monotonic() - self._read_at >= FRESH_SECONDS or self._room <= 0:
            await self.read_room()
        return self._room

    async def read_room(self) -> int:
        """Reads from Redis how many tickets may still be sent. Raises BrokerUnavailable."""
        listed = await self._queue.length()
        presences = await self._queue.presences()
        # Draining and paused workers fetch nothing. Tickets sent for their slots would wait in Redis, where neither
        # fairness nor priority applies.
        fetching = [presence for presence in presences if not (presence.draining or presence.paused)]
        self.slots = sum(presence.slots for presence in fetching)
        free = self.slots - sum(len(p.running) + len(p.lapsed) + len(p.reserved) for p in fetching)
        if self.backlog is None:
            snapshot = await self._queue.snapshot()
            self._leader_has_backlog = snapshot.get("waiting", "0") != "0"
        self._room = max(smallest_window(self.slots), free) - listed - len(self._unsent) - self._under_way
        self._read_at = self._clock.monotonic()
        return self._room

    async def should_dispatch_inline(self, *, delayed: bool, limited: bool) -> bool:
        """Returns whether a task's ticket may be sent as soon as the task is accepted.

        That is so if the task has no due time, its tenant no limit, no task waits, and the window has room. The
        dispatcher takes care of due times, because only the database's clock decides them.
        """
        if delayed or limited or self.backlog or self._clock.monotonic() < self._skip_until:
            return False
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                room = await self.room()
        except (BrokerUnavailable, TimeoutError):
            self._skip()
            return False
        return room > 0 and not (self.backlog is None and self._leader_has_backlog)

    def after_insert(self, task: Task, dispatched: bool) -> None:
        """Sends the ticket or wakes the leader, in the background. If that fails, the dispatcher does it later."""
        if self._clock.monotonic() < self._skip_until:
            return
        if dispatched:
            self._room -= 1
            self._unsent.append(_ticket_of(task))
        else:
            self._kicks[task.tenant] = None
        if self._sending is None:
            # An empty context: the batch belongs to many requests, so its log lines must not carry the first one's ids.
            self._sending = asyncio.create_task(self._send_gathered(), name="send-tickets", context=Context())

    async def drain(self) -> None:
        """Waits until all gathered tickets were sent or given up."""
        while self._sending is not None:
            await asyncio.wait([self._sending])

    async def _send_gathered(self) -> None:
        try:
            while self._unsent or self._kicks:
                tickets = [self._unsent.popleft() for _ in range(min(LARGEST_BATCH, len(self._unsent)))]
                kicks, self._kicks = self._kicks, {}
                # No longer gathered and not yet in the list, so `read_room` must subtract them by itself.
                self._under_way = len(tickets)
                await self._try_to_send(tickets, list(kicks))
        finally:
            self._under_way = 0
            self._sending = None

    async def _try_to_send(self, tickets: Sequence[Ticket], kicks: Sequence[Tenant]) -> None:
        try:
            # After this time the sending goes on in its thread, so only an error takes the tasks back.
            async with asyncio.timeout(PUBLISH_SECONDS):
                if tickets:
                    await self._publish(tickets)
                for tenant in kicks:
                    await self._queue.kick(tenant)
        except Exception as error:  # noqa: BLE001  # the edge of a background task; the tasks are stored and found again
            self._skip()
            _log.warning("tickets_not_sent", count=len(tickets), error_class=type(error).__name__)

    async def _publish(self, tickets: Sequence[Ticket]) -> None:
        """Sends the tickets, or lets their tasks wait again and raises BrokerUnavailable.

        Otherwise each round would release a further window of tasks for a Redis that takes none.
        """
        try:
            await self._queue.publish(tickets)
        except BrokerUnavailable:
            try:
                await self._tasks.take_back([TaskId(ticket.task_id) for ticket in tickets])
            except (DependencyError, StoreError) as error:
                _log.warning("tickets_not_taken_back", count=len(tickets), error_code=error.code)  # `repair` finds them
            raise

    def _skip(self) -> None:
        self._skip_until = self._clock.monotonic() + FRESH_SECONDS

    async def send(self, tasks: Sequence[WaitingTask]) -> None:
        """Sends a ticket for each task. Raises BrokerUnavailable; the tasks then wait again."""
        # Before the sending: accepts that run meanwhile must not count on the same room.
        self._room -= len(tasks)
        await self._publish([ticket_for(task) for task in tasks])


def smallest_window(slots: int) -> int:
    """Computes how many tickets may be ready while all slots are busy: few, because every later task waits for them."""
    return min(SMALLEST_WINDOW, max(1, slots // 2)) if slots else SMALLEST_WINDOW


def ticket_for(task: WaitingTask) -> Ticket:
    """Builds the next ticket of a waiting task."""
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
