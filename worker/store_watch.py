"""What a worker does that cannot reach the database: it fetches no tickets and lets those in hand go.

Another worker may reach it. A ticket that was let go is found missing by the leader and sent again. Runs under way are
not touched: they wait for the database, or lose their lease. A claim whose answer never came may have been granted:
when the database is back such a task is put back, before anybody takes it for crashed.
"""

from __future__ import annotations

import asyncio

from app.domain.identity import ClaimId, TaskId
from app.errors import StoreUnavailable
from app.ports import ClaimRepository
from app.telemetry.logs import get_logger
from worker.consumption import Consumption, Objection

LOOK_SECONDS = 1.0

_log = get_logger(__name__)


class StoreWatch:
    """Asks every `look_seconds` whether the database answers again."""

    def __init__(
        self, claims: ClaimRepository, consumption: Consumption, *, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._claims = claims
        self._consumption = consumption
        self._look_seconds = look_seconds
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
            try:
                while self._unanswered:
                    await self._abandon_one()
            except StoreUnavailable:
                await asyncio.sleep(self._look_seconds)
                continue
            self._lost.clear()
            self._consumption.withdraw(Objection.STORE_AWAY)
            _log.info("database_found_again")

    async def _abandon_one(self) -> None:
        """More silences may be noted meanwhile."""
        unanswered = self._unanswered.pop()
        try:
            await self._claims.abandon(*unanswered)
        except StoreUnavailable:
            self._unanswered.append(unanswered)
            raise
