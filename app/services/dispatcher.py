"""The dispatcher: releases waiting tasks into the ticket window, and sends lost tickets again.

It runs in the leading API process. Fairness, priorities and limits are decided here and nowhere else. A ticket is lost
if its task was dispatched a while ago, is still queued and due, and is neither in the list nor with any worker. An
error from Redis is not an empty answer: the dispatcher then decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.fairness import InFlight
from app.domain.identity import Tenant
from app.ports import Clock, DispatchRepository, TaskQueue, WaitingTask
from app.services.backlog import Backlog
from app.services.fair_share import Turns, choose
from app.services.policies import TenantPolicies
from app.services.window import TicketWindow, ticket_for
from app.telemetry.logs import get_logger

REFRESH_SECONDS = 1.0
# Workers publish every two seconds which tickets they hold. A younger ticket may be with a worker that has not yet
# published it, and sending it again would only add a duplicate.
LOST_AFTER_SECONDS = 5.0
REPAIR_BATCH = 500
RESENT_TOGETHER = 100  # a part's tickets are sent before the next part is written, so that workers begin with them

_log = get_logger(__name__)


class Dispatcher:
    """The release of waiting tasks."""

    def __init__(
        self,
        tasks: DispatchRepository,
        queue: TaskQueue,
        window: TicketWindow,
        policies: TenantPolicies,
        clock: Clock,
    ) -> None:
        self._tasks = tasks
        self._queue = queue
        self._window = window
        self._policies = policies
        self._clock = clock
        self._backlog = Backlog(tasks)
        self._turns = Turns(policies.of)
        self._refreshed_at = float("-inf")

    def record_waiting(self, tenant: str) -> None:
        """Records that a task of this tenant waits."""
        self._backlog.add(Tenant(tenant))

    async def dispatch(self) -> bool:
        """Releases as many tasks as fit the window and returns whether others still wait. Raises DependencyError."""
        if not self._backlog or self._clock.monotonic() - self._refreshed_at >= REFRESH_SECONDS:
            await self._refresh()
        self._window.backlog = bool(self._backlog)
        if not self._backlog:
            return False
        room = await self._window.read_room()
        if room > 0:
            # Released before they are sent: a task whose ticket is lost in between is found by `repair`. The other
            # order could give a worker a ticket that it may not claim yet.
            await self._window.send(await self._tasks.release(await self._choose(room)))
        return bool(self._backlog)

    async def _refresh(self) -> None:
        await self._policies.refresh()
        await self._backlog.refresh(self._turns)
        self._turns.forget_all_but(self._backlog.tenants)
        self._refreshed_at = self._clock.monotonic()

    async def _choose(self, room: int) -> Sequence[WaitingTask]:
        # Counting the tasks in flight costs a query, and decides nothing if a single tenant without a limit waits.
        in_flight = await self._tasks.in_flight() if self._contested() else InFlight()
        await self._backlog.read_next(self._turns, in_flight.by_tenant, room)
        ready, suspects = self._backlog.ready, self._backlog.suspects
        chosen = choose(ready, suspects, in_flight, room=room, slots=self._window.slots, turns=self._turns)
        self._backlog.drop_served()
        return chosen

    def _contested(self) -> bool:
        """Checks whether the choice depends on the number of slots that each tenant holds already."""
        if len(self._backlog.ready) > 1 or self._backlog.suspects:
            return True
        return any(self._policies.of(tenant).max_running is not None for tenant in self._backlog.ready)

    def step_down(self) -> None:
        """Forgets the waiting tasks, because another process dispatches now."""
        self._backlog.clear()
        self._refreshed_at = float("-inf")
        self._window.backlog = None

    async def repair(self) -> int:
        """Sends up to `REPAIR_BATCH` lost tickets again, the oldest first, and returns their number.

        Raises StoreUnavailable, BrokerUnavailable.
        """
        sent = await self._tasks.find_dispatched_before(LOST_AFTER_SECONDS, REPAIR_BATCH)
        if not sent:
            return 0
        # Redis's own record of unacknowledged messages is no help: a killed worker's tickets stay in it for an hour.
        held = set(await self._queue.listed())
        for presence in await self._queue.presences():
            held.update(presence.running, presence.reserved)
        lost = [task for task in sent if task.task_id not in held]
        parts = [lost[start : start + RESENT_TOGETHER] for start in range(0, len(lost), RESENT_TOGETHER)]
        return sum([await self._send_again(part) for part in parts])

    async def _send_again(self, lost: Sequence[WaitingTask]) -> int:
        redispatched = await self._tasks.redispatch(lost)
        if redispatched:
            await self._queue.publish([ticket_for(task) for task in redispatched])
            _log.warning("lost_tickets_sent_again", count=len(redispatched))
        return len(redispatched)
