"""The watch over a database that this worker cannot reach: no tickets are fetched, and those in hand are dropped.

Another worker may reach the database. The leader finds a dropped ticket missing and sends it again. Runs under way are
not touched: they wait for the database, or lose their lease. A claim whose answer never came may have been granted:
when the database answers again, such a task is returned to the queue, before the reaper counts it as a crash.
"""

from __future__ import annotations

import asyncio

from app.domain.identity import ClaimId, TaskId
from app.errors import StoreError
from app.ports import ClaimReturner
from app.telemetry.logs import get_logger
from worker.consumption import Consumption, PauseReason
from worker.patience import until_answered

_log = get_logger(__name__)


class StoreWatch:
    """The state of the database as this worker sees it, and its claims that were not answered."""

    def __init__(self, claims: ClaimReturner, consumption: Consumption) -> None:
        self._claims = claims
        self._consumption = consumption
        self._unanswered: list[tuple[TaskId, ClaimId]] = []
        self._lost = asyncio.Event()

    @property
    def unavailable(self) -> bool:
        return self._lost.is_set()

    def record_unanswered_claim(self, task_id: TaskId, claim_id: ClaimId) -> None:
        """Records a claim that the database has not answered for too long; its ticket is dropped."""
        self._unanswered.append((task_id, claim_id))
        if not self.unavailable:
            _log.warning("database_lost")
            self._lost.set()
            self._consumption.block(PauseReason.STORE_UNAVAILABLE)

    async def run(self) -> None:
        """Abandons the unanswered claims when the database answers, then resumes fetching; until cancelled."""
        while True:
            await self._lost.wait()
            while self._unanswered:  # claims that are recorded meanwhile are abandoned too
                await self._abandon(*self._unanswered.pop())
            self._lost.clear()
            self._consumption.unblock(PauseReason.STORE_UNAVAILABLE)
            _log.info("database_found_again")

    async def _abandon(self, task_id: TaskId, claim_id: ClaimId) -> None:
        try:
            await until_answered(
                lambda: self._claims.abandon(task_id, claim_id), action="abandon a claim", task_id=task_id
            )
        except StoreError as refusal:
            # Nothing more to do: if the claim was granted, its lease runs out and the reaper requeues the task.
            _log.error("claim_not_abandoned", task_id=task_id, error_code=refusal.code)
