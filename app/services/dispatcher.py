"""The dispatcher: releases waiting tasks into the ticket window, and sends lost tickets again.

It runs in the leading API process. Fairness, priorities and limits are decided here and nowhere else. A ticket is lost
if its task was dispatched a while ago, is still queued and due, and is neither in the list nor with any worker. An
error from Redis is not an empty answer: the dispatcher then decides nothing.
"""

from __future__ import annotations

from collections import deque

from app.domain.fairness import InFlight
from app.domain.identity import Tenant
from app.ports import Clock, DispatchRepository, TaskQueue
from app.services.fair_share import Candidates, choose
from app.services.policies import TenantPolicies
from app.services.window import TicketWindow, ticket_for
from app.telemetry.logs import get_logger

BUFFER_TASKS = 500
SMALLEST_BUFFER = 8
BUFFER_SECONDS = 1.0
# Workers publish every two seconds which tickets they hold. A younger ticket may be with a worker that has not yet
# published it, and sending it again would only add a duplicate.
LOST_AFTER_SECONDS = 5.0
REPAIR_BATCH = 500

_log = get_logger(__name__)


class Dispatcher:
    """The release of waiting tasks.

    It keeps a short list of waiting tasks of every tenant, so that a deep backlog is not sorted at every tick.
    """

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
        self._candidates = Candidates()
        self._filled_at = float("-inf")
        self._more_behind = False

    def record_waiting(self, tenant: str) -> None:
        """Records that a task of this tenant waits; if none of its tasks is in the list, the next round reads them."""
        if not self._candidates.by_tenant.get(Tenant(tenant)):
            self._filled_at = float("-inf")

    async def dispatch(self) -> bool:
        """Releases as many tasks as fit the window and returns whether others still wait. Raises DependencyError."""
        if not self._candidates or self._clock.monotonic() - self._filled_at >= BUFFER_SECONDS:
            await self._fill()
        self._window.backlog = bool(self._candidates)
        if not self._candidates:
            return False
        room = await self._window.read_room()
        if room > 0:
            # Counting the tasks in flight costs a query, and decides nothing if a single tenant without a limit waits.
            contested = self._candidates.contested(self._policies.of)
            in_flight = await self._tasks.in_flight() if contested else InFlight()
            chosen = choose(self._candidates, in_flight, room=room, policy_of=self._policies.of)
            # Released before they are sent: a task whose ticket is lost in between is found by `repair`. The other
            # order could give a worker a ticket that it may not claim yet.
            await self._window.send(await self._tasks.release(chosen))
        return bool(self._candidates) or self._more_behind

    async def _fill(self) -> None:
        await self._policies.refresh()
        tenants = await self._tasks.waiting_tenants()
        share = max(SMALLEST_BUFFER, BUFFER_TASKS // max(1, len(tenants)))
        by_tenant = {Tenant(tenant): deque(await self._tasks.find_waiting(tenant, share)) for tenant in tenants}
        quarantined = deque(await self._tasks.find_quarantined(share)) if tenants else deque()
        self._candidates = Candidates({tenant: tasks for tenant, tasks in by_tenant.items() if tasks}, quarantined)
        self._filled_at = self._clock.monotonic()
        self._more_behind = any(len(tasks) == share for tasks in by_tenant.values())

    def step_down(self) -> None:
        """Forgets the waiting tasks, because another process dispatches now."""
        self._candidates = Candidates()
        self._filled_at = float("-inf")
        self._window.backlog = None

    async def repair(self) -> int:
        """Sends lost tickets again and returns their number. Raises StoreUnavailable, BrokerUnavailable."""
        sent = await self._tasks.find_dispatched_before(LOST_AFTER_SECONDS, REPAIR_BATCH)
        if not sent:
            return 0
        # Redis's own record of unacknowledged messages is no help: a killed worker's tickets stay in it for an hour.
        held = set(await self._queue.listed())
        for presence in await self._queue.presences():
            held.update(presence.running, presence.reserved)
        lost = [task for task in sent if task.task_id not in held and await self._tasks.redispatch(task)]
        if lost:
            await self._queue.publish([ticket_for(task) for task in lost])
            _log.warning("lost_tickets_sent_again", count=len(lost))
        return len(lost)
