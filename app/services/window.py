"""The ticket window: Redis holds about as many tickets as living workers have slots; the rest waits in MongoDB.

So priorities and fairness are decided in one place, and losing Redis loses at most a window of tickets, which are found
missing and sent again. `TicketWindow` remembers what it knows of workers for a second, so that an accept costs no look.
Tickets of accepted tasks are sent behind the caller's back, as many at once as have gathered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import Context

from app.domain.identity import Tenant
from app.domain.task import Task
from app.domain.ticket import Ticket
from app.errors import BrokerUnavailable
from app.ports import Clock, TaskQueue, WaitingTask
from app.telemetry.logs import get_logger

SMALLEST_WINDOW = 4
FRESH_SECONDS = 1.0
PUBLISH_SECONDS = 0.25
LARGEST_BATCH = 50

_log = get_logger(__name__)


class TicketWindow:
    """How many tickets may be sent now, and the sending. One per process; its counts are estimates.

    `backlog` is what the dispatcher of this process knows; None where another process leads: then the leader's
    snapshot tells.
    """

    def __init__(self, queue: TaskQueue, clock: Clock) -> None:
        self._queue = queue
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

    async def room(self) -> int:
        """Tickets that may still be sent: free slots of workers, less what already stands in the list.

        Raises BrokerUnavailable: a Redis that does not answer has no room.
        """
        if self._clock.monotonic() - self._read_at >= FRESH_SECONDS or self._room <= 0:
            await self.read_room()
        return self._room

    async def read_room(self) -> int:
        """Reads from Redis how many tickets may still be sent. Raises BrokerUnavailable."""
        listed = await self._queue.length()
        presences = await self._queue.presences()
        fetching = [presence for presence in presences if not (presence.draining or presence.paused)]
        slots = sum(presence.slots for presence in fetching)
        free = slots - sum(len(p.running) + len(p.lapsed) + len(p.reserved) for p in fetching)
        if self.backlog is None:
            snapshot = await self._queue.snapshot()
            self._leader_has_backlog = snapshot.get("waiting", "0") != "0"
        self._room = max(smallest_window(slots), free) - listed - len(self._unsent) - self._under_way
        self._read_at = self._clock.monotonic()
        return self._room

    async def should_dispatch_inline(self, *, delayed: bool, limited: bool) -> bool:
        """Whether a task may be sent to the queue as it is accepted: no time or limit to heed, nobody waits, room.

        When a delayed task is due, the database's clock says.
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
        """Has the ticket sent, or the leader woken. What fails is found again: the task is stored."""
        if self._clock.monotonic() < self._skip_until:
            return
        if dispatched:
            self._room -= 1
            self._unsent.append(_ticket_of(task))
        else:
            self._kicks[task.tenant] = None
        if self._sending is None:
            # In a context of its own: what is sent belongs to many requests, not to the one that came first.
            self._sending = asyncio.create_task(self._send_gathered(), name="send-tickets", context=Context())

    async def drain(self) -> None:
        """Returns when everything handed over was sent or given up."""
        while self._sending is not None:
            await asyncio.wait([self._sending])

    async def _send_gathered(self) -> None:
        try:
            while self._unsent or self._kicks:
                tickets = [self._unsent.popleft() for _ in range(min(LARGEST_BATCH, len(self._unsent)))]
                kicks, self._kicks = self._kicks, {}
                self._under_way = len(tickets)
                await self._try_to_send(tickets, list(kicks))
        finally:
            self._under_way = 0
            self._sending = None

    async def _try_to_send(self, tickets: Sequence[Ticket], kicks: Sequence[Tenant]) -> None:
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                if tickets:
                    await self._queue.publish(tickets)
                for tenant in kicks:
                    await self._queue.kick(tenant)
        except Exception as error:  # noqa: BLE001  # the edge of a background task; the tasks are stored and found again
            self._skip()
            _log.warning("tickets_not_sent", count=len(tickets), error_class=type(error).__name__)

    def _skip(self) -> None:
        self._skip_until = self._clock.monotonic() + FRESH_SECONDS

    async def send(self, tasks: Sequence[WaitingTask]) -> None:
        """Sends a ticket for each. Raises BrokerUnavailable."""
        self._room -= len(tasks)
        await self._queue.publish([ticket_for(task) for task in tasks])


def smallest_window(slots: int) -> int:
    """Tickets that may lie ready while all slots are busy: few, because whoever comes next waits for them, too."""
    return min(SMALLEST_WINDOW, max(1, slots // 2)) if slots else SMALLEST_WINDOW


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
