"""What a worker does that cannot reach the database: it fetches no tickets and lets those in hand go.

Another worker may reach it. A ticket that was let go is found missing by the leader and sent again. Runs under way are
not touched: they wait for the database, or lose their lease. A claim whose answer never came may have been granted:
when the database is back such a task is put back, before anybody takes it for crashed.
"""

from __future__ import annotations

import asyncio

from app.domain.identity import ClaimId, TaskId
from app.errors import StoreError
from app.ports import ClaimReturner
from app.telemetry.logs import get_logger
from worker.consumption import Consumption, Objection
from worker.patience import until_answered

_log = get_logger(__name__)


class StoreWatch:
    """Whether this worker has lost the database, and which of its claims were not answered."""

    def __init__(self, claims: ClaimReturner, consumption: Consumption) -> None:
        self._claims = claims
        self._consumption = consumption
        self._unanswered: list[tuple[TaskId, ClaimId]] = []
        self._lost = asyncio.Event()

    @property
    def away(self) -> bool:
        return self._lost.is_set()

    def note_silence(self, task_id: TaskId, claim_id: ClaimId) -> None:
        """The database has not answered this claim for too long; the ticket is let go."""
        self._unanswered.append((task_id, claim_id))
        if not self.away:
            _log.warning("database_lost")
            self._lost.set()
            self._consumption.object(Objection.STORE_AWAY)

    async def run(self) -> None:
        """Abandons the unanswered claims and takes up fetching again, when the database answers; until cancelled."""
        while True:
            await self._lost.wait()
            while self._unanswered:
                await self._abandon(*self._unanswered.pop())
            self._lost.clear()
            self._consumption.withdraw(Objection.STORE_AWAY)
            _log.info("database_found_again")

    async def _abandon(self, task_id: TaskId, claim_id: ClaimId) -> None:
        try:
            await until_answered(
                lambda: self._claims.abandon(task_id, claim_id), action="abandon a claim", task_id=task_id
            )
        except StoreError as refusal:
            _log.error("claim_not_abandoned", task_id=task_id, code=refusal.code)  # its lease will run out
