"""Whether this worker takes tasks: not while a drain lease holds, nor once its time to stop has come.

The order is what makes it safe to remove a drained worker: first the consumer is paused and claims are refused, then
what was fetched and not begun is given back, and only after that the presence says `draining`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection

from app.domain.identity import TaskId
from app.errors import BrokerUnavailable
from app.ports import DrainLeases, TicketReturner
from app.telemetry.logs import get_logger
from worker.consumption import Consumption, Objection
from worker.leases import LeaseKeeper
from worker.patience import until_answered

LOOK_SECONDS = 2.0

_log = get_logger(__name__)


class Draining:
    """`announced` is what the presence says; `fetched` gives the tasks of all tickets in hand.

    Belongs to the runtime's event loop.
    """

    def __init__(
        self,
        drains: DrainLeases,
        claims: TicketReturner,
        leases: LeaseKeeper,
        consumption: Consumption,
        *,
        worker_id: str,
        fetched: Callable[[], Collection[TaskId]],
    ) -> None:
        self._drains = drains
        self._claims = claims
        self._leases = leases
        self._worker_id = worker_id
        self._fetched = fetched
        self._consumption = consumption
        self._given_back: set[TaskId] = set()
        self._changed = asyncio.Event()
        self._drained = False
        self._stopping = False
        self.announced = False

    def stop(self) -> None:
        """The process is told to end: Celery has stopped consuming, what was fetched is still run."""
        self._stopping = self.announced = True

    def hear(self, worker_id: str) -> None:
        """Somebody's drain lease has changed."""
        if worker_id == self._worker_id:
            self._changed.set()

    async def refuse(self, task_id: TaskId) -> bool:
        """Whether a fetched ticket is not to be run here; its task then waits for another worker.

        Raises StoreUnavailable where the ticket could not be given back.
        """
        if not (self._drained or self._leases.handing_back):
            return False
        if task_id not in self._given_back:
            await self._claims.return_ticket(task_id)
        self._given_back.discard(task_id)
        return True

    async def run(self) -> None:
        """Follows the lease until cancelled: at once when its change is heard, else every two seconds."""
        while True:
            self._changed.clear()
            await self._look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._changed.wait()

    async def _look(self) -> None:
        if self._stopping:
            return
        try:
            drained = await self._drains.holds(self._worker_id)
        except BrokerUnavailable:
            return  # what was known holds: without Redis there are no tickets to take either
        if drained and not self._drained:
            await self._begin()
        elif self._drained and not drained:
            self._end()

    async def _begin(self) -> None:
        self._drained = True
        self._consumption.object(Objection.DRAINED)
        for task_id in self._fetched():
            await self._give_back(task_id)
        self.announced = True
        _log.info("drain_begun", running=len(self._leases.held))

    def _end(self) -> None:
        self._drained = self.announced = False
        self._given_back.clear()
        self._consumption.withdraw(Objection.DRAINED)
        _log.info("drain_ended")

    async def _give_back(self, task_id: TaskId) -> None:
        if task_id in self._given_back:
            return
        self._given_back.add(task_id)
        await until_answered(lambda: self._claims.return_ticket(task_id), action="give a ticket back", task_id=task_id)
