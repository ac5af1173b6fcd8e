"""The database server's time, known without a request to the server: for the times of a new task.

Other writes take `$$NOW`, which only an update can. A new task is then an update that inserts, and a read of the times
that it got: two requests, and the dearest write of the embedded server.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.ports import Clock
from app.storage.mongo import Database, server_time

# A clock that the server's administrator sets, or a new primary, is noticed after this time.
FRESH_SECONDS = 1.0


@dataclass(frozen=True)
class _Reading:
    """The server's time, and both clocks of this process when the answer had come."""

    server: datetime
    wall: datetime
    monotonic: float


class ServerClock:
    """The time of the server as it was last read, plus the time that has passed here since.

    That time counts from the arrival of the answer, so this one is not ahead of the clock that was read, and a task is
    due as soon as it is stored. After a failover to a primary whose clock is behind, it is ahead of that one until the
    next reading, for a second at most: a task of that second is due later by the difference of the two clocks. Calls
    that need a reading at the same time share one.
    """

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._reading: _Reading | None = None
        self._reading_anew: asyncio.Task[_Reading] | None = None

    async def now(self) -> datetime:
        """Returns the server's time in full milliseconds, as the server stores it. Raises StoreUnavailable."""
        reading = self._reading
        if reading is None or not self._is_fresh(reading):
            reading = await self._read_together()
        now = reading.server + timedelta(seconds=self._clock.monotonic() - reading.monotonic)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    async def _read_together(self) -> _Reading:
        if self._reading_anew is None:
            # An empty context: a reading belongs to all its callers, so it must not have the deadline of one.
            self._reading_anew = asyncio.create_task(self._read(), name="server-clock", context=Context())
        return await asyncio.shield(self._reading_anew)  # a caller that is cancelled leaves it to the others

    async def _read(self) -> _Reading:
        try:
            server = await server_time(self._db)
            self._reading = _Reading(server=server, wall=self._clock.now(), monotonic=self._clock.monotonic())
            return self._reading
        finally:
            self._reading_anew = None

    def _is_fresh(self, reading: _Reading) -> bool:
        passed = self._clock.monotonic() - reading.monotonic
        # While a machine sleeps, its monotonic clock stands still.
        slept = (self._clock.now() - reading.wall).total_seconds() - passed
        return passed < FRESH_SECONDS and abs(slept) < FRESH_SECONDS
