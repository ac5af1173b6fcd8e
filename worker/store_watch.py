"""What a worker does that cannot reach the database: it fetches no tickets and lets those in hand go.

Another worker may reach it. A ticket that was let go is found missing by the leader and sent again. Runs under way are
not touched: they wait for the database, or lose their lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from app.errors import StoreUnavailable
from app.telemetry.logs import get_logger
from worker.consumption import Consumption, Objection

LOOK_SECONDS = 1.0

_log = get_logger(__name__)


class StoreWatch:
    """`ping` returns when the database answers; it raises StoreUnavailable."""

    def __init__(
        self, ping: Callable[[], Awaitable[None]], consumption: Consumption, *, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._ping = ping
        self._look_seconds = look_seconds
        self._consumption = consumption
        self._lost = asyncio.Event()

    @property
    def away(self) -> bool:
        return self._lost.is_set()

    def note_silence(self) -> None:
        """The database has not answered for too long."""
        if not self.away:
            _log.warning("database_lost")
            self._lost.set()
            self._consumption.object(Objection.STORE_AWAY)

    async def run(self) -> None:
        """Takes up fetching again when the database answers; until cancelled."""
        while True:
            await self._lost.wait()
            try:
                await self._ping()
            except StoreUnavailable:
                await asyncio.sleep(self._look_seconds)
                continue
            self._lost.clear()
            self._consumption.withdraw(Objection.STORE_AWAY)
            _log.info("database_found_again")
