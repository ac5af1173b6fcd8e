"""The liveness of the operator's duties: each duty beats as it works, and a probe reads the times of the last beats."""

from __future__ import annotations

from collections.abc import Mapping

from app.ports import Clock

SILENT_SECONDS = 120.0


class Pulse:
    """The last beat of each duty. A duty without a beat for longer than its limit counts as dead.

    `problems` are sentences about what does not work, although no duty is dead: a new start would not help.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limits: dict[str, float] = {}
        self._beaten_at: dict[str, float] = {}
        self.problems: list[str] = []

    def watch(self, duty: str, *, silent_seconds: float = SILENT_SECONDS) -> None:
        """Adds a duty before it starts. It is dead after `silent_seconds` without a beat."""
        self._limits[duty] = silent_seconds
        self.beat(duty)

    def beat(self, duty: str) -> None:
        """Records that the duty is alive now."""
        self._beaten_at[duty] = self._clock.monotonic()

    def silent_seconds(self) -> Mapping[str, float]:
        """Returns the seconds since the last beat of each duty."""
        now = self._clock.monotonic()
        return {duty: now - self._beaten_at[duty] for duty in self._limits}

    def dead(self) -> list[str]:
        """Returns the duties that have been silent for longer than their limits."""
        return [duty for duty, seconds in self.silent_seconds().items() if seconds > self._limits[duty]]
