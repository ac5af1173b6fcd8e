"""The database server's time, known without a request to the server: for the times of a new task.

Other writes take `$$NOW`, which only an update can. A new task is then an update that inserts, and a read of the times
that it got: two requests, and the dearest write of the embedded server.
"""

from __future__ import annotations

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

    It is never ahead of the server, because that time counts from the arrival of the answer. So a task is due as soon
    as it is stored.
    """

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._reading: _Reading | None = None

    async def now(self) -> datetime:
        """Returns the server's time in full milliseconds, as the server stores it. Raises StoreUnavailable."""
        if self._reading is None or not self._is_fresh(self._reading):
            server = await server_time(self._db)
            self._reading = _Reading(server=server, wall=self._clock.now(), monotonic=self._clock.monotonic())
        passed = timedelta(seconds=self._clock.monotonic() - self._reading.monotonic)
        now = self._reading.server + passed
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _is_fresh(self, reading: _Reading) -> bool:
        passed = self._clock.monotonic() - reading.monotonic
        # While a machine sleeps, its monotonic clock stands still.
        slept = (self._clock.now() - reading.wall).total_seconds() - passed
        return passed < FRESH_SECONDS and abs(slept) < FRESH_SECONDS
