"""The intake switch: whether new tasks are accepted. It is stored in the database and read once a second."""

from __future__ import annotations

from app.domain.intake import Intake
from app.errors import IntakePaused
from app.ports import Clock, SystemRepository
from app.services.remembered import Remembered

FRESH_SECONDS = 1.0
RETRY_AFTER_SECONDS = 30


class IntakeSwitch:
    """The switch as this process last read or set it, at most a second ago."""

    def __init__(self, system: SystemRepository, clock: Clock) -> None:
        self._system = system
        self._intake: Remembered[None, Intake] = Remembered(self._read, seconds=FRESH_SECONDS, clock=clock)

    async def require_open(self) -> None:
        """Raises IntakePaused with the reason that the switch was set with, StoreUnavailable."""
        intake = await self.current()
        if not intake.accepting:
            reason = f": {intake.reason}" if intake.reason else ""
            raise IntakePaused(f"New tasks are paused at the moment{reason}", retry_after_seconds=RETRY_AFTER_SECONDS)

    async def current(self) -> Intake:
        """Returns the switch, at most a second old. Raises StoreUnavailable."""
        return await self._intake.get(None)

    async def set(self, intake: Intake) -> None:
        """Sets the switch for all processes; the others read it within a second. Raises StoreUnavailable."""
        await self._system.set_intake(intake)
        self._intake.put(None, intake)

    async def _read(self, _: None) -> Intake:
        return await self._system.intake()
