"""The intake switch: whether new tasks are taken. It lives in the database; each process looks once a second."""

from __future__ import annotations

from app.domain.intake import Intake
from app.errors import IntakePaused
from app.ports import Clock, SystemRepository

FRESH_SECONDS = 1.0
RETRY_AFTER_SECONDS = 30


class IntakeGate:
    def __init__(self, system: SystemRepository, clock: Clock) -> None:
        self._system = system
        self._clock = clock
        self._known = Intake()
        self._read_at = float("-inf")

    async def require_open(self) -> None:
        """Raises IntakePaused with the reason that the switch was set with."""
        intake = await self.current()
        if not intake.accepting:
            reason = f": {intake.reason}" if intake.reason else ""
            raise IntakePaused(
                f"New tasks are not taken at the moment{reason}", retry_after_seconds=RETRY_AFTER_SECONDS
            )

    async def current(self) -> Intake:
        """At most a second old. Raises StoreUnavailable."""
        if self._clock.monotonic() - self._read_at >= FRESH_SECONDS:
            self._remember(await self._system.intake())
        return self._known

    async def set(self, intake: Intake) -> None:
        """Switches for all processes; the others notice within a second."""
        await self._system.set_intake(intake)
        self._remember(intake)

    def _remember(self, intake: Intake) -> None:
        self._known = intake
        self._read_at = self._clock.monotonic()
