"""The drain of this worker: it takes no tasks while a drain lease holds, nor after it is asked to stop.

The order makes it safe to remove a drained worker: first the consumer is paused and claims are refused, then the
tickets that were fetched and not begun are returned, and only after that the presence reports `draining`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection

from app.domain.identity import TaskId
from app.errors import BrokerUnavailable
from app.ports import DrainLeases, TicketReturner
from app.telemetry.logs import get_logger
from worker.consumption import Consumption, PauseReason
from worker.leases import LeaseKeeper
from worker.patience import until_answered

CHECK_SECONDS = 2.0  # a message about a drain may be lost; the lease itself is checked this often

_log = get_logger(__name__)


class Draining:
    """The state of this worker's drain. Belongs to the event loop of the runs.

    `reported` is the flag `draining` of the presence; `fetched` returns the tasks of all tickets in hand.
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
        self._returned: set[TaskId] = set()
        self._changed = asyncio.Event()
        self._drained = False
        self._stopping = False
        self.reported = False

    def stop(self) -> None:
        """Reports `draining` from now on: the process ends. Celery has stopped consuming; fetched tickets still run."""
        self._stopping = self.reported = True

    def on_lease_changed(self, worker_id: str) -> None:
        """Checks the lease at once if it is this worker's that has changed."""
        if worker_id == self._worker_id:
            self._changed.set()

    async def refuse(self, task_id: TaskId) -> bool:
        """Returns True if the task of a fetched ticket must not run here; the task then waits for another worker.

        Raises StoreUnavailable if the ticket could not be returned.
        """
        if not (self._drained or self._leases.handing_back):
            return False
        if task_id not in self._returned:  # else the drain has returned it, while it waited for a thread
            await self._claims.return_ticket(task_id)
        self._returned.discard(task_id)
        return True

    async def run(self) -> None:
        """Checks the lease until cancelled: at once when it has changed, else every two seconds."""
        while True:
            self._changed.clear()  # before the check: a change during the check leads to another one
            await self._check_lease()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._changed.wait()

    async def _check_lease(self) -> None:
        if self._stopping:
            return  # a lease that ends now must not have a stopping worker fetch tickets again
        try:
            drained = await self._drains.holds(self._worker_id)
        except BrokerUnavailable:
            return  # keep the last known state: without Redis there are no tickets to fetch either
        if drained and not self._drained:
            await self._begin()
        elif self._drained and not drained:
            self._end()

    async def _begin(self) -> None:
        self._drained = True  # first: a claim that begins while tickets are returned must be refused
        self._consumption.block(PauseReason.DRAINED)
        for task_id in self._fetched():
            await self._return_ticket(task_id)
        self.reported = True  # last: the operator removes a pod that reports `draining` and holds nothing
        _log.info("drain_begun", running=len(self._leases.held))

    def _end(self) -> None:
        self._drained = self.reported = False
        self._returned.clear()
        self._consumption.unblock(PauseReason.DRAINED)
        _log.info("drain_ended")

    async def _return_ticket(self, task_id: TaskId) -> None:
        if task_id in self._returned:
            return
        self._returned.add(task_id)
        await until_answered(lambda: self._claims.return_ticket(task_id), action="return a ticket", task_id=task_id)
